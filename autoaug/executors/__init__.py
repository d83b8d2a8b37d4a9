"""Executors: where the trials of a study run, in this process or on Ray. The storage knows the rest."""

from autoaug.executors._check import check, this_machine
from autoaug.executors._run import conduct, ignore, run
from autoaug.executors._table import EXECUTORS

__all__ = ["EXECUTORS", "check", "conduct", "ignore", "run", "this_machine"]
