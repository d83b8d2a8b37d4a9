"""The storage of studies: `Store`."""

from autoaug.store.store import Store, root_of
from autoaug.store.url import resolve, show_url

__all__ = ["Store", "resolve", "root_of", "show_url"]
