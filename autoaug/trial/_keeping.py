"""What a checkpoint holds of a loop of the user's own, between two epochs."""

from collections.abc import Mapping
from copy import deepcopy
from typing import TYPE_CHECKING, Any

from autoaug.trial._state import check_plain

if TYPE_CHECKING:
    from autoaug.trial._trial import Trial


def state_of(trial: "Trial", kept: Mapping[str, Any]) -> dict[str, Any]:
    """Return all that a resumed loop needs, as tensors and plain data.

    Args:
        kept: what the loop has named.

    Raises:
        ValueError: a state cannot be kept.
    """
    parts = {name: part.state_dict() for name, part in kept.items()}
    for name, state in parts.items():
        check_plain(name, state)
    return {
        "epoch": trial.epoch,
        "step": trial.step,
        "steps_per_epoch": trial.steps_per_epoch,
        "kept": parts,
        "policy": trial.policy.state_dict(),
        "learner": trial.learner.state_dict(),
        "streams": {name: stream.get_state() for name, stream in trial.streams.items()},
        "generators": trial.generators.state_dict(),
    }


def load_state(trial: "Trial", kept: Mapping[str, Any], state: Mapping[str, Any]) -> None:
    """Go on from what `state_of` returned."""
    for name, part in kept.items():
        part.load_state_dict(state["kept"][name])
    trial.policy.load_state_dict(state["policy"])
    trial.learner.load_state_dict(state["learner"])
    for name, stream in trial.streams.items():
        stream.set_state(state["streams"][name].cpu())
    trial.generators.load_state_dict(state["generators"])
    trial.steps_per_epoch = state["steps_per_epoch"] or trial.steps_per_epoch
    trial.epoch, trial.step = state["epoch"], state["step"]


def restore(trial: "Trial", kept: Mapping[str, Any], state: Mapping[str, Any]) -> None:
    """Go on from a state, or stay as it was.

    Raises:
        Exception: whatever makes the state unfit for this loop.
    """
    before = deepcopy(state_of(trial, kept))
    try:
        if state["kept"].keys() != kept.keys() or not 0 < state["epoch"] < (trial.total_epochs or 0):
            raise ValueError("of another loop")
        load_state(trial, kept, state)
    except Exception:
        load_state(trial, kept, before)
        raise
