"""`autoaug storage`: what a storage holds, and how it is made smaller."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from autoaug.cli._arguments import open_existing, where
from autoaug.cli._commands import StorageOption, app
from autoaug.cli._output import Output, err, out, say, thinking, usage_errors
from autoaug.text import counted

if TYPE_CHECKING:
    from rich.console import Group

    from autoaug.store import Compaction, Store, StudySize, TableSize


@app.command("storage")
def storage_command(
    storage: StorageOption = None,
    *,
    compact: Annotated[bool, typer.Option("--compact", help="Remove most epochs of trials that have ended.")] = False,
    keep: Annotated[
        int | None, typer.Option(metavar="N", help="With --compact: the most epochs that stay of a trial; else 20.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Print what a storage holds: studies, trials, epochs, and the bytes of each table.

    Compacting leaves final runs as they are, and of other trials that have ended a few epochs. What a comparison says
    stays as it was; learning curves of searches become coarse. A study that has trials to run is left alone.
    """
    output = Output(as_json)
    with usage_errors():
        if keep is not None and not compact:
            raise ValueError(f"--keep {keep} says how far to compact: give --compact too, or leave it out")
        store = open_existing(where(storage))
        holding = Holding.of(store)
        if compact:
            show_compacted(store, keep, holding, output)
        else:
            output.show(holding.drawn(store.display_url), {"storage": store.display_url, **holding.plain()})


@dataclass(frozen=True)
class Holding:
    """Hold what is in a storage at one moment."""

    studies: "Sequence[StudySize]"
    tables: "Sequence[TableSize]"

    @classmethod
    def of(cls, store: "Store") -> "Holding":
        """Return what a storage holds now."""
        from autoaug.store import study_sizes, table_sizes

        with thinking("counting"):
            return cls(study_sizes(store), table_sizes(store))

    @property
    def bytes(self) -> int:
        """Return the bytes of all tables, as far as they are known."""
        return sum(table.bytes or 0 for table in self.tables)

    def plain(self) -> dict[str, Any]:
        """Return it as plain data."""
        studies, tables = list(map(asdict, self.studies)), list(map(asdict, self.tables))
        return {"bytes": self.bytes, "studies": studies, "tables": tables}

    def drawn(self, name: str) -> "Group":
        """Return a table of studies and one of tables."""
        from rich.console import Group
        from rich.text import Text

        from autoaug.cli._console import draw, plain
        from autoaug.compare import Table

        studies = draw(
            Table(
                ["study", "trials", "epochs", "stored"],
                [[each.name, f"{each.trials:,}", f"{each.epochs:,}", f"{each.stored:,}"] for each in self.studies],
            )
        )
        tables = draw(
            Table(
                ["table", "rows", "bytes"],
                [
                    [each.name, f"{each.rows:,}", "–" if each.bytes is None else f"{each.bytes:,}"]
                    for each in self.tables
                ],
            )
        )
        return Group(plain(f"{name}: {self.bytes:,} bytes"), Text(""), studies, Text(""), tables)


def show_compacted(store: "Store", keep: int | None, before: Holding, output: Output) -> None:
    """Compact a storage, and print what became of each study and of the room that it took.

    Raises:
        ValueError: nothing may be compacted; the message says why.
    """
    from autoaug.store import KEEP, compact, make_small

    with thinking("removing epochs"):
        done = compact(store, KEEP if keep is None else keep)
    with thinking("giving the room back"):
        as_large = make_small(store)
    after = Holding.of(store)
    if as_large:
        say(f"warning: the storage is as large as before: {as_large}", err)
    if output.as_json:
        facts = {"compacted": list(map(asdict, done)), "as_large": as_large}
        output.show("", {"storage": store.display_url, "before": before.plain(), **after.plain(), **facts})
        return
    out.print(before.drawn(f"{store.display_url} before"))
    output.tell("", *map(line_of, done), "")
    out.print(after.drawn(f"{store.display_url} now"))


def line_of(done: "Compaction") -> str:
    """Return what became of a study."""
    if done.left_alone:
        return f"{done.study} is left alone: {done.left_alone}"
    return f"{done.study}: {counted(done.epochs, 'epoch')} and {counted(done.reports, 'intermediate value')} removed"
