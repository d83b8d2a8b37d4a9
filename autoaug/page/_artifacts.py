"""Pictures of a study as artifacts of Optuna, in the place where its checkpoints lie.

Each artifact is a folder `optuna/<id>/` of the place with one file in it: a place removes folders, not files.
"""

import io
import json
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO

import optuna
from optuna.artifacts import upload_artifact
from optuna.artifacts.exceptions import ArtifactNotFound

from autoaug.artifacts import Location, Place, location, place_of
from autoaug.store import Store, set_system_attribute, system_attributes

CONTENT = "content"
"""The file of each artifact in its folder. Its own name, which a user may have chosen, is Optuna's to keep."""

OURS = "autoaug-"
"""How the names of the artifacts begin that are replaced and removed here; those of others stay."""

KEPT_AT = "autoaug:artifacts"
"""The system attribute of an Optuna study that says where its artifacts lie."""

PREFIX = "artifacts:"
"""Of the system attributes in which Optuna keeps what an artifact is called."""

TYPES = {".webp": "image/webp", ".png": "image/png", ".jpg": "image/jpeg"}
"""What a browser shows as it is. Python 3.11 does not know the first."""


class PlaceArtifacts:
    """Keep artifacts in a place: an `ArtifactStore` of Optuna.

    Args:
        place: a folder or a URL, as `place_of` gives it.
    """

    def __init__(self, place: Place) -> None:
        self.place = place

    def open_reader(self, artifact_id: str) -> BinaryIO:
        """Return an artifact as a file that can be read.

        Raises:
            ArtifactNotFound: there is none of this id.
            OSError: it cannot be read.
        """
        try:
            return io.BytesIO(self.folder(artifact_id).read(CONTENT))
        except FileNotFoundError:
            raise ArtifactNotFound(f"no artifact {artifact_id} in {self.place}") from None

    def write(self, artifact_id: str, content_body: BinaryIO) -> None:
        """Keep an artifact, whole or not at all.

        Raises:
            OSError: it could not be written.
        """
        self.folder(artifact_id).write(CONTENT, content_body.read())

    def remove(self, artifact_id: str) -> None:
        """Remove an artifact, where it is there."""
        self.folder(artifact_id).remove()

    def folder(self, artifact_id: str) -> Place:
        """Return where an artifact lies; an id that would lead elsewhere is that of none."""
        try:
            return self.place.below("optuna", artifact_id)
        except ValueError as error:
            raise ArtifactNotFound(str(error)) from None


class StoredArtifacts:
    """Read the artifacts of all studies of a storage, wherever each study keeps its own.

    It is what a dashboard over the storage serves pictures from: an `ArtifactStore` of Optuna.

    Args:
        store: the storage; its studies say where their artifacts lie.
    """

    def __init__(self, store: Store) -> None:
        self.store = store

    def open_reader(self, artifact_id: str) -> BinaryIO:
        """Return an artifact as a file that can be read.

        Raises:
            ArtifactNotFound: no study has one of this id, or its place has lost it.
        """
        return self.home_of(artifact_id).open_reader(artifact_id)

    def write(self, artifact_id: str, content_body: BinaryIO) -> None:
        """Refuse to keep what a page uploads: nobody has said for which study it is.

        Raises:
            PermissionError: always.
        """
        raise PermissionError("pages of this dashboard take no uploads: use optuna.artifacts.upload_artifact")

    def remove(self, artifact_id: str) -> None:
        """Remove an artifact, where it is there."""
        self.home_of(artifact_id).remove(artifact_id)

    def home_of(self, artifact_id: str) -> PlaceArtifacts:
        """Return where the study that has an artifact keeps it."""
        for study in self.store.optuna.get_all_studies():
            attributes = study.system_attrs
            if f"{PREFIX}{artifact_id}" in attributes and KEPT_AT in attributes:
                return PlaceArtifacts(place_of(location(attributes[KEPT_AT])))
        raise ArtifactNotFound(f"no study has an artifact {artifact_id}")


def upload(study: optuna.Study, pictures: Mapping[str, bytes], where: Location) -> None:
    """Make pictures the artifacts of an Optuna study: these, and none that an earlier call uploaded.

    What is there with the same content is not written again, and what others have uploaded stays.

    Args:
        study: that they are shown with.
        pictures: content by the name of a file, such as "randaugment.webp".
        where: the folder or URL of the artifacts of the run.

    Raises:
        OSError: one could not be written.
    """
    kept = PlaceArtifacts(place_of(where))
    told = str(where.absolute()) if isinstance(where, Path) else where
    if pictures and system_attributes(study).get(KEPT_AT) != told:
        set_system_attribute(study, KEPT_AT, told)
    missing = {f"{OURS}{name}": content for name, content in pictures.items()}
    for artifact_id, name in listed(study).items():
        if (content := missing.pop(name, None)) is not None:
            if content_of(kept, artifact_id) != content:
                kept.write(artifact_id, io.BytesIO(content))
        elif name.startswith(OURS):
            forget(study, artifact_id)
            kept.remove(artifact_id)
    with TemporaryDirectory() as folder:
        for name, content in missing.items():
            file = Path(folder) / name
            file.write_bytes(content)
            add(study, file, kept)


def listed(study: optuna.Study) -> dict[str, str]:
    """Return the names of the files that are artifacts of a study, by id.

    Optuna's own list fails once Optuna Dashboard has removed one, of which it leaves null.
    """
    attributes = system_attributes(study)
    metas = (json.loads(value) for name, value in attributes.items() if name.startswith(PREFIX))
    return {meta["artifact_id"]: meta["filename"] for meta in metas if meta}


def content_of(kept: PlaceArtifacts, artifact_id: str) -> bytes | None:
    """Return what an artifact holds; None where its content is lost."""
    try:
        return kept.open_reader(artifact_id).read()
    except (ArtifactNotFound, OSError):
        return None


def add(study: optuna.Study, file: Path, kept: PlaceArtifacts) -> None:
    """Upload a file. Where that fails its name is taken back, which Optuna writes before the content."""
    before = listed(study)
    try:
        upload_artifact(artifact_store=kept, file_path=str(file), study_or_trial=study, mimetype=TYPES.get(file.suffix))
    except OSError:
        for artifact_id in listed(study).keys() - before.keys():
            forget(study, artifact_id)
        raise


def forget(study: optuna.Study, artifact_id: str) -> None:
    """Take an artifact from those of a study, as Optuna Dashboard does it."""
    set_system_attribute(study, f"{PREFIX}{artifact_id}", json.dumps(None))
