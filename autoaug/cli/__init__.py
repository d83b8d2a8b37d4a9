"""The command line. Nothing heavy is imported before a command needs it: `--help` and errors are instant."""

from autoaug.cli import _compare as compare
from autoaug.cli import _dashboard as dashboard
from autoaug.cli import _data as data
from autoaug.cli import _diagnose as diagnose
from autoaug.cli import _doctor as doctor
from autoaug.cli import _launch as launch
from autoaug.cli import _status as status
from autoaug.cli import _storage as storage
from autoaug.cli._commands import app, main

__all__ = ["app", "compare", "dashboard", "data", "diagnose", "doctor", "launch", "main", "status", "storage"]
