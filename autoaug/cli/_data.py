"""`autoaug data`: what is kept of datasets on this machine, and how it is taken away."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from autoaug.cli._commands import app
from autoaug.cli._output import Output, say, usage_errors
from autoaug.text import counted

if TYPE_CHECKING:
    from rich.table import Table

    from autoaug.photos import CacheEntry


@app.command("data")
def data_command(
    *,
    clear: Annotated[bool, typer.Option("--clear", help="Take away all that no training uses now.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Print which photos are kept decoded on this machine, and which tables of neighbours; where, and how large.

    They lie in AUTOAUG_CACHE, or autoaug in XDG_CACHE_HOME or ~/.cache, and are made again when they are needed.
    AUTOAUG_CACHE_GIB says how large all may be together, else 50; those used least recently make room.
    """
    output = Output(as_json)
    with usage_errors():
        from autoaug.photos import cache_entries, cache_folder, clear_cache

        folder = cache_folder()
        if clear:
            taken, used = clear_cache(folder)
            freed = sum(entry.bytes for entry in taken)
            kept = f"; {len(used):,} in use stayed" if used else ""
            line = f"{counted(len(taken), 'entry')} taken from {folder.parent}, {megabytes(freed)} freed{kept}"
            output.tell(line, cache=str(folder.parent), freed_bytes=freed, in_use=[plain(entry) for entry in used])
            return
        entries = cache_entries(folder)
        output.show(drawn(entries), {"cache": str(folder.parent), "entries": [plain(entry) for entry in entries]})
        if not as_json:
            total = megabytes(sum(entry.bytes for entry in entries))
            say(f"{counted(len(entries), 'entry')} in {folder.parent}, {total}")


def plain(entry: "CacheEntry") -> dict[str, Any]:
    """Return an entry as plain data."""
    return {
        "data": entry.what,
        "images": entry.images,
        "shorter_side": entry.shorter,
        "bytes": entry.bytes,
        "last_used": datetime.fromtimestamp(entry.used).astimezone().isoformat(timespec="seconds"),
    }


def drawn(entries: "list[CacheEntry]") -> "Table | str":
    """Return entries as a table, the one used last at the top; nothing where there are none."""
    from rich.table import Table

    if not entries:
        return "nothing is kept"
    table = Table("data", "images", "shorter side", "size", "last used", box=None)
    for entry in reversed(entries):
        used = datetime.fromtimestamp(entry.used).strftime("%Y-%m-%d %H:%M")
        table.add_row(entry.what, f"{entry.images:,}", str(entry.shorter or ""), megabytes(entry.bytes), used)
    return table


def megabytes(size: int) -> str:
    """Return a number of bytes for people."""
    return f"{size / 1e6:,.0f} MB"
