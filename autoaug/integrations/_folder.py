"""The checkpoint that a framework writes to a folder, as a part of that of a trial."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch


class KeptFolder:
    """Keep the files of a framework's checkpoint as bytes, so that they lie wherever those of a trial do.

    Args:
        written: gives the folder of the latest checkpoint; None where there is none yet.
        place: where a folder is laid again, by the name that it had.
        without: files that are not kept.
    """

    def __init__(self, written: Callable[[], str | None], place: Path, without: tuple[str, ...] = ()) -> None:
        self.written, self.place, self.without = written, place, without
        self.found: str | None = None
        """What an earlier attempt left, laid out for the framework to go on from."""

    def state_dict(self) -> dict[str, Any]:
        """Return the name of the folder, and its files as tensors [bytes] of uint8 by their names."""
        written = self.written()
        if written is None:
            return {"folder": "", "files": {}}
        folder = Path(written)
        paths = [path for path in sorted(folder.iterdir()) if path.is_file() and path.name not in self.without]
        return {"folder": folder.name, "files": {path.name: as_bytes(path) for path in paths}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Lay out the files of a folder again.

        Raises:
            ValueError: a name leads out of the folder.
        """
        for name in (state["folder"], *state["files"]):
            if name != Path(name).name:
                raise ValueError(f"a checkpoint with a file {name!r}: its names have no folders")
        self.found = str(self.place / state["folder"]) if state["folder"] else None
        for name, content in state["files"].items():
            (self.place / state["folder"]).mkdir(parents=True, exist_ok=True)
            content.cpu().numpy().tofile(self.place / state["folder"] / name)


def as_bytes(path: Path) -> torch.Tensor:
    """Return the content of a file, a tensor [bytes] of uint8."""
    return torch.from_numpy(np.fromfile(path, np.uint8))
