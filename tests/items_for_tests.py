"""A map-style dataset of one's own."""

from typing import Any


class Items:
    """What was given, by index."""

    def __init__(self, *items: Any) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Any:
        return self.items[index]
