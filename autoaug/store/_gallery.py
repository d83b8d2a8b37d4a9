"""Where the pictures of a study's gallery lie, and what is written under each, kept beside the study."""

import hashlib
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import sqlalchemy as sql

from autoaug.artifacts import Location, Place, location, place_of
from autoaug.gallery import Gallery, Sheets, name_of, sheets_of
from autoaug.store._damage import reporting_damage
from autoaug.store._retrying import retrying
from autoaug.store._schema import GALLERIES
from autoaug.store._store import Store
from autoaug.text import shown

FOLDER = "gallery"
"""In the folder of a study among the artifacts."""
MAKING = re.compile(r"[0-9a-f]{16}")
"""Names of the folders in it, one for each making of the sheets of a strategy: no file is ever overwritten, so a study
that is archived keeps its pictures where they are."""
SECONDS = 10.0
"""For so long a place that does not answer is tried again: somebody waits for a picture."""


def keep_sheets(
    store: Store,
    name: str,
    strategy: str,
    sheets: Sheets,
    pictures: Mapping[str, bytes],
    artifacts: Location,
    retry_seconds: float = 60.0,
) -> None:
    """Keep what a strategy of a study makes of images, in the place of what was kept of it before.

    Args:
        pictures: WebP files by name, all that the sheets name.
        artifacts: where they are kept, in `<study>/gallery`.
        retry_seconds: for so long a place that does not answer is tried again.

    Raises:
        ValueError: the name of the study is no plain one.
        OSError: a picture cannot be written.
    """
    where = str(artifacts.absolute()) if isinstance(artifacts, Path) else artifacts
    parts = "\n".join((store.identity, name, strategy, *sorted(pictures)))
    making = hashlib.sha256(parts.encode()).hexdigest()[:16]
    for picture, content in pictures.items():
        folder_of(where, name, making, retry_seconds).write(picture, content)
    before = [row for each, row in rows(store, name).items() if each == strategy]
    row = {"study": name, "strategy": strategy, "artifacts": where, "folder": name, "making": making}
    write_row(store, {**row, "sheets": sheets.plain()})
    remove_unnamed(store, before)


@retrying
def write_row(store: Store, row: Mapping[str, Any]) -> None:
    """Write the row of a strategy in the place of the one that is there."""
    whose = sql.and_(GALLERIES.c.study == row["study"], GALLERIES.c.strategy == row["strategy"])
    with store.engine.begin() as connection:
        connection.execute(GALLERIES.delete().where(whose))
        connection.execute(GALLERIES.insert().values(**row))


def folder_of(artifacts: str, folder: str, making: str, seconds: float) -> Place:
    """Return where pictures lie, which a row of a storage says: it leads nowhere but into a gallery.

    Raises:
        ValueError: it would.
    """
    if not MAKING.fullmatch(making):
        raise ValueError(f"{shown(making, 80)!r} is no folder of a gallery")
    return place_of(location(artifacts), seconds).below(folder, FOLDER, making)


@reporting_damage("the table autoaug_galleries")
@retrying
def rows(store: Store, name: str) -> dict[str, Any]:
    """Return the rows of a study by strategy, in the order in which the strategies were defined."""
    query = sql.select(GALLERIES).where(GALLERIES.c.study == name)
    with store.engine.connect() as connection:
        found = {row.strategy: row for row in connection.execute(query)}
    order = {strategy: k for k, strategy in enumerate(store.strategies(name))}
    return {strategy: found[strategy] for strategy in sorted(found, key=lambda each: order.get(each, len(order)))}


def gallery_of(store: Store, name: str) -> Gallery | None:
    """Return the gallery of a study, or None where it has none yet.

    Raises:
        ValueError: what is kept is no gallery.
    """
    found = rows(store, name)
    return Gallery({strategy: sheets_of(row.sheets) for strategy, row in found.items()}) if found else None


def pictures_of(store: Store, name: str, pictures: Iterable[str]) -> dict[str, bytes]:
    """Return pictures of the gallery of a study, WebP files, by name.

    Args:
        pictures: their names in the gallery. Nothing but what the gallery names is read.

    Raises:
        KeyError: the gallery has no picture of a name.
        OSError: one cannot be read here; the message says where it lies, and what to do.
    """
    holding = {picture: row for row in rows(store, name).values() for picture in sheets_of(row.sheets).pictures}
    found = {}
    for picture in pictures:
        if picture not in holding:
            raise KeyError(f"no picture {shown(picture, 80)!r} in the gallery of {shown(name, 80)}")
        found[picture] = read(holding[picture], name, picture)
    return found


def read(row: Any, name: str, picture: str) -> bytes:
    """Return a picture that a row names.

    Raises:
        OSError: it cannot be read here.
    """
    try:
        content = folder_of(row.artifacts, row.folder, row.making, SECONDS).read(picture)
        if name_of(content) != picture:
            raise ValueError(f"{picture} is not what was written")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise OSError(
            f"the pictures of {name} are among the artifacts at {shown(row.artifacts)}, and cannot be read from here "
            f"({shown(reason)}): look at them on a machine that has this folder, or run the study with --artifacts at "
            "a folder or a URL that every machine reads"
        ) from None
    return content


def remove_unnamed(store: Store, gone: list[Any]) -> None:
    """Remove the pictures of rows that are gone, unless another row names them.

    What cannot be reached, or is no gallery, stays.
    """
    for row in gone:
        places = [GALLERIES.c[each] == getattr(row, each) for each in ("artifacts", "folder", "making")]
        with store.engine.connect() as connection:
            named = connection.scalar(sql.select(sql.func.count()).select_from(GALLERIES).where(*places))
        if not named:
            with suppress(ValueError):
                folder_of(row.artifacts, row.folder, row.making, SECONDS).remove()
