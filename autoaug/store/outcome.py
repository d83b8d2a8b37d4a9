"""From Optuna's trial and the work on it to what the rest of the library sees."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

from optuna.trial import FrozenTrial, TrialState

from autoaug.record import LEADERBOARD, Outcome, State


@dataclass(frozen=True)
class Work:
    """What was done on one trial so far."""

    epochs: int = 0
    gpu_seconds: float = 0.0
    images: int = 0
    device: str = "cpu"
    metrics: Mapping[str, float] = field(default_factory=dict)


def outcome(name: str, strategy: str, trial: FrozenTrial, root: int, work: Work) -> Outcome:
    """A trial as the rest of the library sees it."""
    final = strategy == LEADERBOARD
    return Outcome(
        study=name,
        strategy=trial.params["strategy"] if final else strategy,
        trial=trial.number,
        root=root,
        attempt=trial.user_attrs.get("attempt", 1),
        state=cast(State, trial.state.name),
        reason=trial.user_attrs.get("reason", ""),
        point=trial.user_attrs["point"] if final else trial.params,
        seed=trial.params["seed"] if final else trial.user_attrs.get("seed", 0),
        value=trial.values[0] if trial.state == TrialState.COMPLETE else None,
        metrics=work.metrics,
        gpu_seconds=float(work.gpu_seconds),
        device=work.device,
        epochs=work.epochs,
        images=int(work.images),
        final=final,
    )
