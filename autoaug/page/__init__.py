"""What a person opens in a browser: the dashboard over a storage, and the report of a comparison as one file."""

from typing import TYPE_CHECKING

from autoaug.lazy import lazily
from autoaug.page._across import Diagram, across_report
from autoaug.page._pdf import find_browser, write_pdf
from autoaug.page._report import report, whole_gallery

if TYPE_CHECKING:
    from autoaug.page._guard import is_loopback
    from autoaug.page._mount import mount_of
    from autoaug.page._publish import publish
    from autoaug.page._server import make_dashboard
    from autoaug.page._token import new_token
else:  # a report needs neither a server nor Optuna Dashboard
    __getattr__, __dir__ = lazily(
        __name__,
        {
            "_guard": "is_loopback",
            "_mount": "mount_of",
            "_publish": "publish",
            "_server": "make_dashboard",
            "_token": "new_token",
        },
    )

__all__ = [
    "Diagram",
    "across_report",
    "find_browser",
    "is_loopback",
    "make_dashboard",
    "mount_of",
    "new_token",
    "publish",
    "report",
    "whole_gallery",
    "write_pdf",
]
