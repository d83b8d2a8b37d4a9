"""What a finished run puts into Optuna's own pages."""

from typing import TYPE_CHECKING

from autoaug.cli._output import err, say
from autoaug.options import Options

if TYPE_CHECKING:
    from autoaug.compare import Comparison
    from autoaug.store import Store


def publish_result(store: "Store", comparison: "Comparison", options: Options) -> None:
    """Put the result of a study into Optuna's pages; what cannot be done is a warning, for the study is finished."""
    from autoaug.cli._project import figures_root, load_figures
    from autoaug.page import publish

    try:
        figures = load_figures(figures_root())
    except ValueError as error:
        say(f"warning: {error}", err)
        figures = {}
    for failure in publish(store, comparison, figures, options.artifacts):
        say(f"warning: {failure}", err)
