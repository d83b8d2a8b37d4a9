"""`autoaug dashboard`: the pages of the stored studies, and Optuna Dashboard beside them."""

import os
import socket
from pathlib import Path
from typing import Annotated

import typer

from autoaug.cli._arguments import open_existing, where
from autoaug.cli._commands import StorageOption, app
from autoaug.cli._output import say, usage_errors

PATIENCE = 5.0
"""Seconds for which a page waits for a storage that does not answer."""


@app.command()
def dashboard(
    storage: StorageOption = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 takes any free one.")] = 8080,
    token: Annotated[
        str | None,
        typer.Option(metavar="TOKEN", help="What visitors have to know: a text, env:NAME or file:PATH."),
    ] = None,
    root_path: Annotated[
        str,
        typer.Option(metavar="PATH|URL", help="Where a reverse proxy shows it, such as /sub or https://box.org/sub."),
    ] = "",
    write: Annotated[bool, typer.Option("--write", help="Let pages change and delete studies.")] = False,
) -> None:
    """Serve pages of the stored studies and Optuna Dashboard beside them, on this machine only and read-only."""
    with usage_errors():
        given = secret(token) if token is not None else None
        store = open_existing(where(storage), write, PATIENCE)
        from autoaug.cli._project import figures_root, load_figures
        from autoaug.page import is_loopback, make_dashboard, mount_of, new_token

        mount = mount_of(root_path)
        wanted = new_token() if given is None and not is_loopback(host) else given
        figures = load_figures(figures_root())
        try:
            server = make_dashboard(store, host, port, write, figures=figures, token=wanted, root_path=root_path)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or str(error).rstrip(".")
            raise ValueError(f"cannot listen on {host}:{port}: {reason}; give another --port or --host") from None
    if not is_loopback(host) or mount.origin:
        may = "read and delete" if write else "read"
        who = "anybody who has the token" if wanted else f"anybody who reaches {mount.origin}"
        say(f"{who} can {may} these studies", style="yellow")
        if wanted and not mount.secure:
            say("whoever listens in the network reads it too: a reverse proxy with https keeps it", style="yellow")
    place = f"{mount.origin or f'http://{named(host)}:{server.effective_port}'}{mount.path}"
    shown = f"?token={wanted}" if given is None and wanted else ""
    say(f"{store.display_url} at {place}/autoaug/{shown}  (Ctrl-C stops it)")
    say(f"Optuna Dashboard at {place}/")
    server.run()  # Ctrl-C ends it
    server.close()


def named(host: str) -> str:
    """Return a host as it stands in a URL; for all addresses, the name of this machine."""
    if host in ("0.0.0.0", "::", ""):
        return socket.gethostname()
    return f"[{host}]" if ":" in host else host


def secret(reference: str) -> str:
    """Return the token that an option names.

    Raises:
        ValueError: there is no such variable or file; the message holds no token.
    """
    kind, colon, name = reference.partition(":")
    if not colon or kind not in ("env", "file"):
        return reference
    if kind == "env":
        if not (found := os.environ.get(name, "").strip()):
            raise ValueError(f"the token is to be in the environment variable {name}, which is not set: set it")
        return found
    try:
        return Path(name).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise ValueError(f"cannot read the token from {name}: {reason}; give another --token") from None
