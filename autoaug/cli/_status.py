"""`autoaug status`: who works on a study, where and since when, what it has cost, and when it should end."""

from dataclasses import asdict
from datetime import datetime
from typing import Annotated

import typer

from autoaug.cli._arguments import find_stored
from autoaug.cli._commands import StorageOption, StudyArgument, app
from autoaug.cli._output import Output, usage_errors


@app.command()
def status(
    study: StudyArgument,
    storage: StorageOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Print who works on a study, what it has cost, and when it should end. Nothing is written."""
    with usage_errors():
        store, name = find_stored(study, storage)
        from autoaug.execution import status as status_of

        found = status_of(store, name)
    from autoaug.cli._status_block import status_block

    at = datetime.now()
    Output(as_json).show(
        status_block(found, store.display_url, at),
        {"storage": store.display_url, "at": at.isoformat(timespec="seconds"), **asdict(found)},
    )
