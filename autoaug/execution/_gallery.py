"""The gallery of a study: the worker that has a finished network makes it, or without one whoever ends the study."""

from collections.abc import Iterable
from dataclasses import replace
from functools import partial

from torch import Tensor

from autoaug.data import Data
from autoaug.execution._attempt import Attempt
from autoaug.execution._summaries import stored_epochs
from autoaug.gallery import MOST_STRATEGIES, Allowance, Logits, allowance, draw_sheets
from autoaug.learners import replay
from autoaug.options import Options
from autoaug.policy import Composed
from autoaug.record import Outcome, Record, TrialKind
from autoaug.seeding import derive_seed
from autoaug.store import Store, epochs_of, gallery_of, id_of_trial, keep_sheets
from autoaug.study import Setup, Study, set_up
from autoaug.text import LOG
from autoaug.train import TrainingRun
from autoaug.trial import explain


def is_shown(attempt: Attempt, training: str) -> bool:
    """Whether a training ends with a network that the gallery is made with: the first final run of a strategy."""
    first = attempt.is_final and attempt.job.final_seed == 0 and not training
    return first and attempt.study.train is None and allowed(attempt.study, attempt.job.strategy) is not None


def keep_gallery(attempt: Attempt, setup: Setup, data: Data | None, run: TrainingRun) -> str:
    """Make and keep what the strategy of a final run makes of images, and return what went wrong in that, or nothing.

    Nothing of the training changes, and nobody pays for it.
    """
    try:
        if data is None or attempt.trains_on_both(setup):  # never what others validate on
            data = setup.task.load()
        logits = partial(looked_at, run)
        whose = (attempt.study, attempt.store, attempt.job.strategy, attempt.options)
        show(*whose, setup, data, stored_epochs(attempt) if setup.learner.moves_policy else (), logits)
    except Exception as error:
        return f"the gallery of {attempt.job.strategy} could not be made: {explain(error)}"
    return ""


def looked_at(run: TrainingRun, images: Tensor) -> Tensor:
    """Return the logits [N, K] of a finished network, in float32, for images [N, C, H, W] in [0, 1]."""
    run.evaluated.eval()
    return run.logits(images.to(run.device), run.evaluated)


def complete_gallery(study: Study, store: Store, options: Options) -> None:
    """Make what is missing of a study's gallery where a final run has ended; what goes wrong is a warning.

    No network looks at these pictures: of loops of the user's own, and of studies of an earlier version.
    """
    if study.task.data is None:
        return
    gallery = gallery_of(store, study.name)
    there = set(gallery.strategies) if gallery else set()
    finals = first_finals(store.outcomes(study.name))
    for strategy in (each for each in study.strategies if each in finals and each not in there):
        if allowed(study, strategy) is None:
            continue
        final = finals[strategy]
        try:
            setup = set_up(study, strategy, final.point)
            trials = [each.trial for each in store.attempts(study.name) if is_of(each.outcome, final)]
            epochs = epochs_of(store, list(map(id_of_trial, trials))) if setup.learner.moves_policy else ()
            show(study, store, strategy, options.anchored(), setup, setup.task.load(), epochs)
        except Exception as error:
            LOG.warning("the gallery of %s could not be made: %s", strategy, explain(error))


def first_finals(outcomes: Iterable[Outcome]) -> dict[str, Outcome]:
    """Return the first final run of each strategy that has one, of those that are complete: after a retest the last."""
    finals = (each for each in outcomes if each.kind is TrialKind.FINAL and each.state == "COMPLETE")
    return {each.strategy: each for each in finals if each.seed == 0}


def is_of(outcome: Outcome, final: Outcome) -> bool:
    """Whether an attempt is one at a final run."""
    return (outcome.kind, outcome.strategy, outcome.root) == (final.kind, final.strategy, final.root)


def allowed(study: Study, strategy: str) -> Allowance | None:
    """Return what a strategy may show; None where there are too many before it."""
    names = list(study.strategies)[:MOST_STRATEGIES]
    if strategy not in names:
        return None
    moving = [name for name in names if study.strategies[name].within is not None]
    found = allowance(len(names), len(moving))
    return found if found is None or strategy in moving else replace(found, epochs=1)


def show(
    study: Study,
    store: Store,
    strategy: str,
    options: Options,
    setup: Setup,
    data: Data,
    epochs: Iterable[Record],
    logits: Logits | None = None,
) -> None:
    """Draw and keep what a strategy makes of images.

    Args:
        data: the training images alone are looked at.
        epochs: of the final run, where its policy moved.
    """
    found = allowed(study, strategy)
    assert found is not None, "asked before"
    tree = replay(epochs) if setup.learner.moves_policy else setup.policy.tree()
    compose = isinstance(setup.policy, Composed) and setup.policy.compose
    seed = derive_seed(study.seed, "gallery")
    sheets, pictures = draw_sheets(tree, data, found, seed, compose=compose, logits=logits)
    keep_sheets(store, study.name, strategy, sheets, pictures, options.artifacts, options.retry_seconds)
