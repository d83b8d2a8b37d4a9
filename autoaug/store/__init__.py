"""The storage of studies: `Store`."""

from autoaug.store.store import Store
from autoaug.store.url import resolve, show_url

__all__ = ["Store", "resolve", "show_url"]
