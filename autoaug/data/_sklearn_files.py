"""The files that come with scikit-learn, found without importing it: that takes a second, and reading them a tenth."""

from importlib.util import find_spec
from pathlib import Path


def sklearn_file(*parts: str) -> Path:
    """Return the path of a file or folder below `sklearn/datasets`, where scikit-learn is installed."""
    spec = find_spec("sklearn")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("scikit-learn is not installed, which brings these files: pip install scikit-learn")
    return Path(spec.origin).parent.joinpath("datasets", *parts)
