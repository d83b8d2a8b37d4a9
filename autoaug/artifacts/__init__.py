"""Where checkpoints lie: in a folder, or at a URL of fsspec. A file there is whole or absent.

trial = place_of("s3://bucket/runs").below("quickstart", "none", "0")
trial.write("1.pt", content)
"""

from autoaug.artifacts._folder import Folder, existing, write_atomically
from autoaug.artifacts._location import location, place_of
from autoaug.artifacts._place import NAME, Location, Place
from autoaug.artifacts._server import EXTRAS

__all__ = ["EXTRAS", "NAME", "Folder", "Location", "Place", "existing", "location", "place_of", "write_atomically"]
