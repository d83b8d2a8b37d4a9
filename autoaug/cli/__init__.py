"""The command line. Nothing heavy is imported before a command needs it: `--help` and errors are instant."""

from autoaug.cli import doctor
from autoaug.cli.commands import app, main

__all__ = ["app", "doctor", "main"]
