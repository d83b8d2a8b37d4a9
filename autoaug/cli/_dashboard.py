"""`autoaug dashboard`: the pages of the stored studies, and Optuna Dashboard beside them."""

from typing import Annotated

import typer

from autoaug.cli._arguments import open_existing, where
from autoaug.cli._commands import StorageOption, app
from autoaug.cli._output import say, usage_errors


@app.command()
def dashboard(
    storage: StorageOption = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 takes any free one.")] = 8080,
    write: Annotated[bool, typer.Option("--write", help="Let the page change and delete studies.")] = False,
) -> None:
    """Serve pages of the stored studies and Optuna Dashboard beside them, on this machine only and read-only."""
    with usage_errors():
        store = open_existing(where(storage), write)
        from autoaug.cli._project import figures_root, load_figures
        from autoaug.page import make_dashboard

        figures = load_figures(figures_root())
        try:
            server = make_dashboard(store, host, port, write, figures=figures)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or str(error).rstrip(".")
            raise ValueError(f"cannot listen on {host}:{port}: {reason}; give another --port or --host") from None
    if host not in ("127.0.0.1", "localhost"):
        may = "read and delete" if write else "read"
        say(f"anybody who reaches {host} can {may} these studies", style="yellow")
    say(f"Optuna Dashboard over {store.display_url} at http://{host}:{server.effective_port}/  (Ctrl-C stops it)")
    server.run()  # Ctrl-C ends it
    server.close()
