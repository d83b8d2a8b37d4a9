"""Where checkpoints lie: in a folder, or at a URL of fsspec. A file there is whole or absent.

trial = place_of("s3://bucket/runs").below("quickstart", "none", "0")
trial.write("1.pt", content)
"""

from functools import cache
from pathlib import Path

from autoaug.artifacts._folder import Folder, existing, write_atomically
from autoaug.artifacts._location import location
from autoaug.artifacts._place import NAME, Location, Place
from autoaug.artifacts._remote import Remote
from autoaug.artifacts._server import Server

__all__ = ["NAME", "Folder", "Location", "Place", "Remote", "existing", "location", "place_of", "write_atomically"]


@cache
def place_of(location: Location, retry_seconds: float = 60.0) -> Place:
    """Return the place of a folder or a URL. There is one for each in a process: it remembers that it is away.

    Args:
        retry_seconds: for so long what lies elsewhere and does not answer is tried again.
    """
    if isinstance(location, Path):
        return Folder(location)
    return Remote(location, Server(location, retry_seconds))
