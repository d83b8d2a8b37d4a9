"""The last lines of a run: the verdict in words, and the commands that come next."""

import shlex
from collections.abc import Iterator

from autoaug.cli._output import program
from autoaug.compare import Comparison, LeaderboardRow, sentence, winner, winner_in_words


def last_lines(comparison: Comparison, study: str | None, storage: str) -> Iterator[str]:
    """Yield the verdict, what the winner does, how its policy is taken away, and how all of it is looked at.

    Args:
        comparison: of the study that has run.
        study: as it was named on the command line; None where an export could not find it again.
        storage: the option that names the storage, with a space before it; empty where it is the usual one.
    """
    yield sentence(comparison)
    if does := winner_in_words(comparison):
        yield does
    found = worth_taking(comparison)
    if study and found and found.name in comparison.policies:
        named = "" if found is comparison.rows[0] else f" --strategy {shlex.quote(found.name)}"
        format, file = file_of(comparison, found.name)
        yield f"take it: {program()} export {shlex.quote(study)} --format {format}{named} -o {file}{storage}"
    yield f"details: {program()} dashboard{storage}"


def worth_taking(comparison: Comparison) -> LeaderboardRow | None:
    """Return the winner, or the first on the leaderboard where it may be one; None where the baseline is as good."""
    first = next(iter(comparison.rows), None)
    ahead = first is not None and first.name != comparison.baseline and first.vs_baseline is not None
    return winner(comparison) or (first if ahead else None)


def file_of(comparison: Comparison, strategy: str) -> tuple[str, str]:
    """Return the format and the file of an export: torchvision, or JSON where that would lose something."""
    from autoaug.export import export
    from autoaug.policy import PolicyTree

    try:
        export(PolicyTree.model_validate(comparison.policies[strategy]), "torchvision")
    except ValueError:  # something is lost, or cannot be said
        return "json", "policy.json"
    return "torchvision", "policy.py"
