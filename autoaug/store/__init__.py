"""The storage of studies: `Store`."""

from autoaug.store.definition import refuse_contradiction
from autoaug.store.store import Store, root_of
from autoaug.store.url import is_new, resolve, show_url

__all__ = ["Store", "is_new", "refuse_contradiction", "resolve", "root_of", "show_url"]
