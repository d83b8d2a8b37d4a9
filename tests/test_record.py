"""What a trial is for decides where it is stored, which seed it has, who pays for it and how it is called."""

import json
from dataclasses import asdict, replace
from typing import Any

import pytest

from autoaug.execution import Job
from autoaug.record import Outcome, Record, TrialKind, record_of
from autoaug.seeding import derive_seed
from autoaug.store import Store
from autoaug.store._epochs import to_row
from autoaug.store._spool import restore

SEARCH, RERUN, FINAL = TrialKind.SEARCH, TrialKind.RERUN, TrialKind.FINAL


def test_each_kind_has_its_storage_its_seed_its_payer_and_its_name() -> None:
    assert [kind.substudy("ra") for kind in TrialKind] == ["ra", "ra/full", "leaderboard"]
    assert [kind.seed_key(7, 2) for kind in TrialKind] == [("search", 7), ("full",), ("leaderboard", 2)]
    assert [kind.charged for kind in TrialKind] == [True, True, False]
    assert [kind.trial_name(7, 2) for kind in TrialKind] == ["trial 7", "re-run 7", "final run 2"]


def test_seeds_are_those_of_studies_that_were_begun_before_there_were_kinds() -> None:
    keys = [(SEARCH, 3, None), (RERUN, 3, None), (FINAL, 9, 1)]
    found = [derive_seed(5, *kind.seed_key(root, seed)) for kind, root, seed in keys]
    assert found == [derive_seed(5, "search", 3), derive_seed(5, "full"), derive_seed(5, "leaderboard", 1)]


@pytest.mark.parametrize("kind", TrialKind)
def test_a_trial_is_called_the_same_before_and_after_it_was_stored(kind: TrialKind) -> None:
    """An earlier console counted re-runs and final runs from 1, and everything else from 0."""
    seed = 2 if kind is FINAL else None
    job = Job("ra", 1, 4, {}, 1, 3, kind, seed)
    stored = Outcome(study="s", strategy="ra", trial=4, root=3, state="COMPLETE", seed=seed or 0, kind=kind)
    assert job.name == stored.name
    assert str(job) == f"ra {stored.name}"
    assert str(replace(job, attempt=2)) == f"ra {stored.name}, attempt 2"
    assert job.substudy == stored.substudy == kind.substudy("ra")


@pytest.mark.parametrize(("kind", "seed"), [(SEARCH, 0), (RERUN, 1), (FINAL, None)])
def test_only_a_final_run_has_a_final_seed(kind: TrialKind, seed: int | None) -> None:
    with pytest.raises(ValueError, match="a final run has a final_seed, and nothing else has: got"):
        Job("ra", 1, 0, {}, 1, 0, kind, seed)


@pytest.mark.parametrize("kind", TrialKind)
def test_a_kind_outlives_rows_and_json(kind: TrialKind, store: Store) -> None:
    record = Record(study="s", epoch=1, phase="augment", strategy="ra", kind=kind)
    row = to_row(9, record)
    assert (row["trial_id"], row["final"], row["rerun"]) == (9, kind is FINAL, kind is RERUN)
    store.write_epoch(9, record)
    assert store.epochs("s") == [record]
    plain = json.loads(json.dumps(asdict(record)))
    assert plain["kind"] == kind.value
    assert record_of(plain).kind is kind
    assert restore({"record": plain})["record"].kind is kind


@pytest.mark.parametrize(
    ("old", "kind"),
    [({"final": False, "rerun": False}, SEARCH), ({"final": False, "rerun": True}, RERUN), ({"final": True}, FINAL)],
)
def test_what_an_earlier_version_could_not_write_is_read(old: dict[str, Any], kind: TrialKind) -> None:
    plain = asdict(Record(epoch=1, phase="augment", strategy="ra"))
    plain.pop("kind")
    assert restore({"record": plain | old})["record"] == Record(epoch=1, phase="augment", strategy="ra", kind=kind)


def test_a_kind_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="'trial' is not a valid TrialKind"):
        record_of({"epoch": 1, "phase": "augment", "kind": "trial"})
