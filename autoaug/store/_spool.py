"""Writes that a storage which is away could not take: JSON lines in a file, until they are made."""

import inspect
import json
import os
import re
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from errno import ENOSPC
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar, cast

from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.trial import TrialState
from sqlalchemy.exc import DBAPIError, IntegrityError

from autoaug.record import Record, TrialKind, record_of
from autoaug.store._damage import checked_epoch, reason
from autoaug.store._optuna_tables import study_and_number
from autoaug.store._retrying import Moved, Unreachable, Unwritable
from autoaug.store._watch import FOREIGN
from autoaug.text import LOG

Method = TypeVar("Method", bound=Callable[..., Any])

FOLDER = ".spool"
"""Below the folder of artifacts; no study can have this name."""

FREE = ".free"
"""Stands in the names of files that their worker is through with."""


@dataclass(frozen=True)
class Spool:
    """Keep the writes of one process that its storage could not take, in one file for each trial."""

    folder: Path
    storage: str
    """Which storage they are for: trials are known by a number that another one has too."""
    owner: str
    """This process, as its leases name it."""
    address: str = ""
    """Where the storage lies, as `address_of` says."""

    def path(self, trial_id: int) -> Path:
        return self.folder / f"{self.storage[:8]}-{trial_id}-{re.sub('[^A-Za-z0-9]+', '-', self.owner)}.jsonl"

    def holds(self, trial_id: int) -> bool:
        return self.path(trial_id).exists()

    def append(self, trial_id: int, call: str, arguments: Mapping[str, Any]) -> None:
        """Keep a write; it is on the disk when this returns.

        Raises:
            Unwritable: it cannot be kept; what was kept before is as it was.
        """
        path = self.path(trial_id)
        plain = {name: asdict(each) if isinstance(each, Record) else each for name, each in arguments.items()}
        lines: list[dict[str, Any]] = [{"call": call, "arguments": plain}]
        if not path.exists():
            head = {"storage": self.storage, "address": self.address, "trial_id": trial_id, "owner": self.owner}
            lines.insert(0, head)
        text = "".join(f"\n{json.dumps(line)}" for line in lines)  # a line that was cut off spoils no other
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            add(path, text.encode())
        except OSError as error:
            why = error.strerror or type(error).__name__
            raise Unwritable(
                f"what the storage does not take cannot be kept in {self.folder} either ({why}): make room there, "
                "or let it be written to"
            ) from None

    def release(self, trial_id: int) -> None:
        """Leave what is kept of a trial to whichever process comes first: its worker is through with it."""
        self.path(trial_id).rename(self.path(trial_id).with_suffix(f"{FREE}.jsonl"))

    def left(self) -> Iterator["PendingFile"]:
        """Yield the files of all processes that keep writes here for the same storage, where they can be read."""
        yield from (pending for pending in self.readable() if pending.storage == self.storage)

    def displaced(self) -> Iterator["PendingFile"]:
        """Yield those for another storage that lay where this one does."""
        others = (pending for pending in self.readable() if pending.storage != self.storage)
        yield from (pending for pending in others if pending.address == self.address)

    def readable(self) -> Iterator["PendingFile"]:
        """Yield the files of all processes and storages that can be read."""
        yield from filter(None, map(read, sorted(self.folder.glob("*.jsonl"))))


def add(path: Path, text: bytes) -> None:
    """Write at the end of a file, until it is on the disk; where that fails, the file is what it was.

    Raises:
        OSError: it could not be written.
    """
    before = path.stat().st_size if path.exists() else None
    try:
        with path.open("ab", buffering=0) as file:
            if file.write(text) < len(text):
                raise OSError(ENOSPC, os.strerror(ENOSPC))
            os.fsync(file.fileno())
    except OSError:
        with suppress(OSError):
            path.unlink() if before is None else os.truncate(path, before)
        raise


@dataclass(frozen=True)
class PendingFile:
    """Hold a file of writes that were not made yet."""

    path: Path
    storage: str
    trial_id: int
    owner: str
    """The process that kept them, which may still go on, unless it is `free`."""
    writes: tuple[tuple[str, dict[str, Any]], ...]
    address: str = ""
    """Where the storage lay; empty where an earlier version kept them."""

    @property
    def free(self) -> bool:
        return FREE in self.path.suffixes


def read(path: Path) -> PendingFile | None:
    """Return a file of a spool; None where it is none. A line that a crash cut off was never promised to anybody."""
    lines = []
    try:
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            with suppress(ValueError, RecursionError):
                lines.append(json.loads(line))
        head, *writes = lines
        calls = tuple((str(each["call"]), restore(each["arguments"])) for each in writes if each["call"] in WRITES)
        for call, arguments in calls:
            inspect.signature(WRITES[call]).bind(None, int(head["trial_id"]), **arguments)
        known = str(head["storage"]), int(head["trial_id"]), str(head["owner"])
        return PendingFile(path, *known, calls, str(head.get("address", "")))
    except (ValueError, KeyError, TypeError, AttributeError, OSError):
        return None


def restore(arguments: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of a write as they were before they became JSON."""
    kinds: dict[str, Any] = {"record": spooled_record, "state": TrialState}
    restored = {name: kinds[name](value) if name in kinds else value for name, value in arguments.items()}
    return {**restored, **restored.pop("attributes", {})}


def spooled_record(plain: Mapping[str, Any]) -> Record:
    """Return a record that was kept; earlier versions wrote two booleans for the kind of its trial."""
    fields = dict(checked_epoch(plain))
    rerun, final = fields.pop("rerun", False), fields.pop("final", False)
    old = TrialKind.FINAL if final else TrialKind.RERUN if rerun else TrialKind.SEARCH
    return record_of({"kind": old, **fields})


WRITES: dict[str, Callable[..., Any]] = {}
"""What may stand in a spool, by name: writes about a trial. Its end forbids all but those of its epochs."""


def spooled(method: Method) -> Method:
    """Return a write about a trial that goes into the spool, where there is one, while the storage is away.

    It then answers True: whether somebody else has the trial is seen when the storage is back. What a trial that the
    storage does not know any more was to get goes there too: it may be an older copy of what was opened.
    """
    signature = inspect.signature(method)
    WRITES[method.__name__] = method

    @wraps(method)
    def kept(self: Any, trial_id: int, *args: Any, **kwargs: Any) -> Any:
        try:
            if self.spool and self.spool.holds(trial_id):
                settle(self, trial_id)
            try:
                return method(self, trial_id, *args, **kwargs)
            except (KeyError, DBAPIError, StorageInternalError) as error:
                if moved := moved_by(self, trial_id, error):
                    raise moved from None
                raise
        except Unreachable:
            if self.spool is None:
                raise
            given = signature.bind(self, trial_id, *args, **kwargs).arguments
            try:
                self.spool.append(trial_id, method.__name__, dict(list(given.items())[2:]))
            except Unwritable:
                self.retry_policy.lost = True
                raise
            return True

    return cast(Method, kept)


def moved_by(store: Any, trial_id: int, error: Exception) -> Moved | None:
    """Return what an error of a write about a trial says of its storage; None where it says nothing of that.

    From then on nothing is written to the storage, or read.
    """
    if isinstance(error, KeyError) and not store.has(trial_id):
        found = f"trial id {trial_id} is not in it any more: it is an older copy, or the study was deleted"
    elif store.is_file and any(words in reason(error) for words in FOREIGN):
        found = f"its file was overwritten and cannot be read now ({reason(error)})"
    else:
        return None
    store.retry_policy.moved = Moved(f"storage {store.display_url} is not what was opened: {found}")
    return store.retry_policy.moved


def settle(store: Any, trial_id: int) -> None:
    """Make the writes about one trial that this process could not make.

    Raises:
        Unreachable: the storage is still away.
        Moved: it does not know the trial any more. They are left as they are.
    """
    if moved := moved_by(store, trial_id, KeyError(trial_id)):
        raise moved
    path = store.spool.path(trial_id)
    if read(path) and (ours := claim(path)):
        try:
            make(store, ours)
        except BaseException:
            with suppress(FileNotFoundError):  # it was through with them
                ours.path.rename(path)  # what it writes next goes behind these
            raise


def replay(store: Any, pending: PendingFile) -> None:
    """Make the writes of a file and remove it, unless another process does so.

    A storage that does not know the trial is an older copy of the one that they are for: they are left as they are.

    Raises:
        Unreachable: the storage is still away. The file stays, for whichever process comes next.
    """
    if not store.has(pending.trial_id):
        LOG.warning("%s is left: the storage does not know trial id %d", pending.path, pending.trial_id)
        return
    if ours := claim(pending.path):
        make(store, ours)


def claim(path: Path) -> PendingFile | None:
    """Take a file of a spool for this process alone; None where another one was quicker.

    It gets a name that no other has, and is read under it: what its worker writes from now on goes into a new file.
    """
    stem, *marks = path.name.removesuffix(".jsonl").split(".")
    free = FREE if FREE.lstrip(".") in marks else ""
    claimed = path.with_name(f"{stem}{free}.{uuid.uuid4().hex[:12]}.jsonl")
    try:
        path.rename(claimed)
    except FileNotFoundError:
        return None
    return read(claimed)


def make(store: Any, pending: PendingFile) -> None:
    """Make the writes of a file that are still to be made, and remove it."""
    made = list(due(store, pending))
    for call, arguments in made:
        with suppress(IntegrityError, UpdateFinishedTrialError):  # another driver has just made it
            WRITES[call](store, pending.trial_id, **arguments)
    if len(made) == len(pending.writes):
        LOG.warning("%d writes about trial id %d were made late: the storage was away", len(made), pending.trial_id)
    else:
        LOG.warning(
            "%d of %d writes about trial id %d were made late, the others are dropped: it has ended, or another worker "
            "has it",
            *(len(made), len(pending.writes), pending.trial_id),
        )
    pending.path.unlink(missing_ok=True)


def due(store: Any, pending: PendingFile) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the writes of a file that are still to be made.

    Of a trial that has ended, perhaps because another worker goes on with it, these are its epochs: it was told that
    they are kept, nobody else writes to their rows, and what they cost was spent. They go to the study that has the
    trial now, under whatever name; those of a trial that was deleted, whose id another one got, go nowhere.
    """
    running = store.is_running(pending.trial_id)
    study_name, number = store.retry_policy(lambda: place_of(store, pending.trial_id)) or ("", -1)
    records = [arguments["record"] for _, arguments in pending.writes if "record" in arguments]
    if any(each.trial != number or not study_name.endswith(f"/{each.substudy}") for each in records):
        return
    for call, arguments in pending.writes:
        if record := arguments.get("record"):
            yield call, {**arguments, "record": replace(record, study=study_name.removesuffix(f"/{record.substudy}"))}
        elif running:
            yield call, arguments


def place_of(store: Any, trial_id: int) -> tuple[str, int] | None:
    with store.engine.connect() as connection:
        return study_and_number(connection, trial_id)
