"""What a loop of one's own yields becomes records; what is wrong with it is said with the place and the fix."""

import random
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from loops_for_tests import plain, run, train_one_epoch, trial_of
from small_problems import Smooth
from torch.optim.optimizer import _global_optimizer_post_hooks as hooks

from autoaug import Task, Trial
from autoaug.artifacts import Folder
from autoaug.checkpoint import Checkpoint
from autoaug.interruption import Interruption
from autoaug.policy import Fixed, policy_tree, ready, schedule
from autoaug.strategies import none, online_score, trivialaugment
from autoaug.train import Diverged
from autoaug.trial import records

Yields = Iterator[Any]
REFINED = Task(data=None, device="cpu", refine_epochs=2)


def yielding(*reports: Any, total: int | None = 3) -> Callable[[Trial], Yields]:
    """A loop without a training, which yields these; it counts its epochs itself where there is no total."""

    def loop(trial: Trial) -> Yields:
        if total is None:
            yield from reports
        else:
            for _, report in zip(trial.epochs(total), reports, strict=False):
                yield report

    return loop


def scored(**more: Any) -> dict[str, Any]:
    return {"val_accuracy": 0.5, **more}


# What is a report


@pytest.mark.parametrize(
    "value", [0.25, torch.tensor(0.25), torch.tensor([[0.25]], dtype=torch.float16), np.float32(0.25), np.array(0.25)]
)
def test_a_scalar_of_whatever_kind_is_a_number(value: Any) -> None:
    value = value.requires_grad_() if isinstance(value, torch.Tensor) else value
    (record,) = run(yielding(scored(val_mce=value), total=1))
    assert record.metrics == {"val_accuracy": 0.5, "val_mce": 0.25}
    assert all(type(each) is float for each in record.metrics.values())


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "None"),
        ("high", "'high'"),
        ({"nested": 0.5}, "{'nested': 0.5}"),
        (torch.tensor([0.25, 0.5]), "tensor([0.2500, 0.5000])"),
        (np.array([0.25, 0.5]), "array([0.25, 0.5 ])"),
        (1j, "1j"),
    ],
)
def test_what_is_no_number_is_refused_by_its_name(value: Any, shown: str) -> None:
    with pytest.raises(TypeError) as refused:
        run(yielding(scored(extra=value)))
    assert str(refused.value) == f"the figure 'extra' is {shown}: give a number, or leave it out where it has no value"


@pytest.mark.parametrize(
    ("loop", "message"),
    [
        (yielding(), "the loop ended without a report: yield the metrics of each epoch at its end"),
        (yielding(total=None), "the loop ended without a report: yield the metrics of each epoch at its end"),
        (
            yielding(scored(), scored()),
            "the loop ended after the report of epoch 2 of 3: yield once in each of them, and leave "
            "early stopping to the pruner of a strategy, as in .pruned('asha')",
        ),
        (yielding(None), "the loop yields None: yield the metrics of an epoch by name, as in {'val_accuracy': ...}"),
        (yielding(0.5), "the loop yields 0.5: yield the metrics of an epoch by name, as in {'val_accuracy': ...}"),
        (yielding({}), "the loop yields no 'val_accuracy', which the study goes by: none is known"),
        (
            yielding({"val_acuracy": 0.5}),
            "the loop yields no 'val_accuracy', which the study goes by: did you mean 'val_acuracy'?",
        ),
        (
            yielding(scored(test_nll=0.5)),
            "the loop yields 'test_nll' in a search: only a final run reads the test split, so ask `if trial.final` "
            "first",
        ),
        (yielding({3: 0.5}), "a figure has the name 3: give a text of 1 to 100 characters"),
    ],
)
def test_a_report_that_cannot_be_one_is_refused(loop: Callable[[Trial], Yields], message: str) -> None:
    with pytest.raises((ValueError, TypeError)) as refused:
        run(loop)
    assert str(refused.value) == message


@pytest.mark.parametrize("value", [float("nan"), float("inf"), torch.tensor(float("-inf"))])
def test_a_figure_that_is_not_finite_ends_the_trial_and_says_what_to_change(value: Any) -> None:
    with pytest.raises(Diverged) as diverged:
        run(yielding(scored(), scored(train_loss=value)))
    assert str(diverged.value) == (
        f"diverged: the training loss is {float(value)} in epoch 2: lower the learning rate of the loop, or leave the "
        "metric out where it has no value"
    )


# When there is one


def twice(trial: Trial) -> Yields:
    for _ in trial.epochs(3):
        yield scored()
        yield scored()


def now_and_then(trial: Trial) -> Yields:
    for epoch in trial.epochs(5):
        if epoch % 2:
            yield scored()


def once_more(trial: Trial) -> Yields:
    for _ in trial.epochs(2):
        yield scored()
    yield scored()


def before_the_first(trial: Trial) -> Yields:
    yield scored()
    for _ in trial.epochs(2):
        yield scored()


def before_it_is_entered(trial: Trial) -> Yields:
    epochs = trial.epochs(2)
    trial.augmented_epochs = 2  # as in a loop that has asked for them
    yield scored()
    next(epochs)


def two_trainings(trial: Trial) -> Yields:
    for _ in trial.epochs(1):
        yield scored()
    for _ in trial.epochs(1):
        yield scored()


@pytest.mark.parametrize(
    ("loop", "message"),
    [
        (twice, "the loop yields twice in epoch 1: yield once, at its end"),
        (
            now_and_then,
            "the loop yields in epoch 3, and did not in epoch 2: yield once in each of them, the score of the latest "
            "one that was measured where that is too costly",
        ),
        (once_more, "the loop yields twice in epoch 2: yield once, at its end"),
        (before_the_first, "the loop yields before trial.epochs is begun: yield once, at the end of each epoch"),
        (before_it_is_entered, "the loop yields before its first epoch: yield once, at the end of each"),
        (two_trainings, "trial.epochs was called a second time: a trial is one training"),
    ],
)
def test_one_report_an_epoch(loop: Callable[[Trial], Yields], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        run(loop)


def test_the_test_split_is_read_once_in_the_last_epoch_of_a_final_run() -> None:
    tested = scored(test_accuracy=0.25)
    *_, last = run(yielding(scored(), scored(), tested), final=True)
    assert last.metrics == tested
    refusals = {
        yielding(scored(), tested, scored()): "the loop yields 'test_accuracy' in epoch 2 of 3: the test split is read "
        "once, so ask `if trial.final and epoch == trial.total_epochs` first",
        yielding(tested, scored(), total=None): "the test split was read after epoch 1, and the loop trains on: yield "
        "test metrics in the last epoch alone",
        yielding(scored(), total=None): "a final run gave no 'test_accuracy': yield it in the last epoch, where "
        "trial.final is true",
    }
    for loop, message in refusals.items():
        with pytest.raises(ValueError, match="test") as refused:
            run(loop, final=True)
        assert str(refused.value) == message


# What is a loop


def trains_and_returns(trial: Trial) -> list[Any]:
    return [scored() for _ in trial.epochs(3)]


@pytest.mark.parametrize(
    ("loop", "how"),
    [
        (lambda trial: None, "<lambda> is no generator function, it gives a NoneType"),
        (lambda trial: iter([scored()]), "<lambda> is no generator function, it gives a list_iterator"),
        (partial(yielding), "partial is no generator function, it gives a function"),
        (trains_and_returns, "trains_and_returns is no generator function, and trains without a yield"),
    ],
)
def test_what_makes_no_generator_is_refused_before_it_trains(loop: Any, how: str) -> None:
    with pytest.raises(TypeError) as refused:
        run(loop)
    assert (
        str(refused.value) == f'{how}: yield the metrics of an epoch at its end, as in `yield {{"val_accuracy": ...}}`'
    )


def test_an_object_that_makes_a_generator_is_a_loop() -> None:
    class Script:
        def __call__(self, trial: Trial) -> Yields:
            return plain(trial)

    assert len(run(Script())) == len(run(lambda trial: plain(trial))) == 3


# What a loop leaves out


class Leaving:
    """A loop that leaves out something: the policy, the mix or the learner."""

    def __init__(self, *uses: str) -> None:
        self.uses = uses

    def __call__(self, trial: Trial) -> Yields:
        for _ in trial.epochs(2):
            trial.used.update(self.uses)
            yield scored()


WITHOUT_POLICY = (
    "the loop trains without the policy of its strategy: give each batch to it, images in [0, 1], by images, targets = "
    "trial.augment(images, targets)"
)
WITHOUT_MIX = (
    "the loop trains without the mix that the study asks for: after the policy give each batch to it, by images, "
    "targets = trial.mixed(images, targets)"
)
WITHOUT_LEARNER = (
    "the policy never moved: after each step of the optimiser call trial.learn(model, (images, targets), (val_images, "
    "val_targets), optimiser)"
)


def later() -> Any:
    """A strategy whose policy begins in the second epoch."""
    tree = policy_tree(schedule([(1, ready.none().root), (2, ready.randaugment().root)]))
    return none()._replace(policy=lambda: Fixed(tree))


@pytest.mark.parametrize(
    ("strategy", "mix", "uses", "message"),
    [
        (trivialaugment, "none", (), WITHOUT_POLICY),
        (later, "none", (), WITHOUT_POLICY),
        (none, "mixup", (), WITHOUT_MIX),
        (trivialaugment, "cutmix", ("policy",), WITHOUT_MIX),
        (online_score, "none", (), WITHOUT_POLICY),
        (online_score, "none", ("policy",), WITHOUT_LEARNER),
    ],
)
def test_a_loop_that_leaves_out_what_its_strategy_is_about_is_refused_at_its_first_report(
    strategy: Any, mix: str, uses: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ValueError, match="the") as refused:
        next(records(Leaving(*uses), trial_of(strategy, mix)))
    assert str(refused.value) == message


@pytest.mark.parametrize(
    ("strategy", "mix", "uses"),
    [
        (none, "none", ()),
        (trivialaugment, "none", ("policy",)),
        (none, "mixup", ("mix",)),
        (online_score, "none", ("policy", "learner")),
    ],
)
def test_a_loop_may_leave_out_what_would_change_nothing(strategy: Any, mix: str, uses: tuple[str, ...]) -> None:
    assert len(run(Leaving(*uses), strategy=strategy, mix=mix)) == 2


def test_a_loop_that_goes_on_while_refining_need_not_call_what_is_off() -> None:
    def refining(trial: Trial) -> Yields:
        trial.epoch = 2  # as one that was restored
        for _ in trial.epochs(2):
            yield scored()

    trial = trial_of(trivialaugment, "mixup", task=REFINED)
    trial.begin = lambda total, steps, kept: setattr(trial, "augmented_epochs", total)  # type: ignore[method-assign]
    assert [record.phase for record in records(refining, trial)] == ["refine", "refine"]


def test_a_loop_that_counts_its_epochs_itself_cannot_refine() -> None:
    with pytest.raises(ValueError, match="refinement") as refused:
        run(yielding(scored(), total=None), task=REFINED)
    assert str(refused.value) == (
        "the study asks for refinement (refine_epochs is 2), and the loop counts its epochs itself: let it train `for "
        "epoch in trial.epochs(...)`, which has them at its end"
    )
    assert [record.epoch for record in run(yielding(scored(), scored(), total=None))] == [1, 2]


def test_refinement_comes_after_the_epochs_of_the_loop() -> None:
    reports = run(plain, task=REFINED, mix="mixup")
    assert [record.phase for record in reports] == ["augment"] * 3 + ["refine"] * 2


# What is kept


class Odd:
    def __init__(self, state: Any) -> None:
        self.state = state

    def state_dict(self) -> dict[str, Any]:
        return {"inner": [1, self.state]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        pass


@pytest.mark.parametrize(
    ("kept", "message"),
    [
        (
            {"best": 0.5},
            "trial.epochs(best=0.5): a float has no state_dict and load_state_dict, so that it cannot be kept: leave "
            "it out, or name something that has them",
        ),
        (
            {"odd": Odd(np.float64(1))},
            "trial.epochs(odd=...) cannot be kept: its state_dict['inner'][1] is a float64, and a checkpoint holds "
            "tensors, numbers and texts alone, for reading anything else may run code: leave it out of the state_dict, "
            "or this name out of trial.epochs",
        ),
    ],
)
def test_what_cannot_be_kept_is_refused_by_its_name_before_the_first_epoch(kept: Any, message: str) -> None:
    def loop(trial: Trial) -> Yields:
        for _ in trial.epochs(3, **kept):
            pytest.fail("it trains")
        yield scored()

    with pytest.raises(ValueError, match="kept") as refused:
        run(loop)
    assert str(refused.value) == message


# Where an error is, and what is left behind


def generators() -> tuple[Any, ...]:
    return random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()  # noqa: NPY002


def drawing(trial: Trial) -> Yields:
    """A loop that draws from the global generators, also at its end."""
    for _ in trial.epochs(3):
        drawn = random.random() + np.random.rand() + torch.rand(()).item()  # noqa: NPY002
        try:
            yield scored(drawn=drawn)
        finally:
            torch.rand(()), random.random(), np.random.rand()  # noqa: NPY002


def test_global_generators_belong_to_the_loop_and_follow_the_seed_of_the_trial() -> None:
    before = generators()

    def drawn(seed: int) -> list[float]:
        return [record.metrics["drawn"] for record in run(drawing, seed=seed)]

    one = drawn(1)
    torch_before = torch.get_rng_state()
    with torch.random.fork_rng():
        torch.manual_seed(99)
        assert drawn(1) == one, "whatever was drawn before"
    assert torch.equal(torch_before, torch.get_rng_state())
    assert drawn(2) != one
    assert len(set(one)) == 3
    assert generators() == before


def failing_at(epoch: int, error: BaseException) -> Callable[[Trial], Yields]:
    def loop(trial: Trial) -> Yields:
        optimiser = torch.optim.SGD((model := Smooth()).parameters(), lr=0.1)
        for now in trial.epochs(3):
            torch.rand(()), random.random()
            scores = train_one_epoch(trial, model, optimiser)
            if now == epoch:
                raise error
            yield scores

    return loop


@pytest.mark.parametrize("error", [RuntimeError("broken"), KeyboardInterrupt()])
def test_a_loop_that_fails_leaves_no_hook_and_no_generator_behind(error: BaseException) -> None:
    before, hooked = generators(), dict(hooks)
    with pytest.raises(type(error)):
        run(failing_at(2, error))
    assert (generators(), dict(hooks)) == (before, hooked)
    trial = trial_of()
    epochs = records(plain, trial)
    next(epochs)
    assert trial.steps.count == 2
    epochs.close()
    assert (generators(), dict(hooks)) == (before, hooked)
    torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))]).step()
    assert trial.steps.count == 2, "of a loop that was closed nobody listens any more"


def exiting(trial: Trial) -> Yields:
    """A function that ends the process before it makes a generator."""
    sys.exit(2)


@pytest.mark.parametrize("loop", [failing_at(2, SystemExit(2)), exiting])
def test_an_exit_of_the_process_is_a_failure_of_the_loop(loop: Callable[[Trial], Yields]) -> None:
    with pytest.raises(RuntimeError, match=r"the loop called sys.exit\(2\).*parse_args\(\[\]\)") as failed:
        run(loop)
    assert failed.traceback[-1].path == Path(__file__), "the line of the loop is in its traceback"


def test_an_exit_after_the_end_was_asked_for_is_no_failure() -> None:
    """As of a signal handler of the loop's own."""
    interruption = Interruption()
    interruption.request()
    with pytest.raises(KeyboardInterrupt):
        run(exiting, interruption=interruption)


def test_two_loops_one_after_the_other_equal_each_alone() -> None:
    def measured() -> list[dict[str, float]]:
        reports = run(plain, strategy=online_score)
        return [
            {name: value for name, value in each.metrics.items() if not name.endswith("seconds")} for each in reports
        ]

    alone = measured()
    with pytest.raises(RuntimeError, match="broken"):
        run(failing_at(2, RuntimeError("broken")))
    assert measured() == alone


def test_every_step_of_an_optimiser_shows_that_the_training_gets_on() -> None:
    pulses = list[int]()

    def by_itself(trial: Trial) -> Yields:
        optimiser = torch.optim.SGD((model := Smooth()).parameters(), lr=0.1)
        for _ in range(2):
            for _ in range(5):
                model(torch.zeros(1, 64)).sum().backward()
                optimiser.step()
            yield scored()

    run(by_itself, pulse=lambda: pulses.append(1))
    assert len(pulses) == 10


def test_an_error_of_a_report_is_raised_where_the_loop_yielded_it() -> None:
    seen = list[str]()

    def loop(trial: Trial) -> Yields:
        for _ in trial.epochs(3):
            try:
                yield {"val_acuracy": 0.5}
            except ValueError as error:
                seen.append(str(error))
                raise
            finally:
                seen.append("cleaned up")

    with pytest.raises(ValueError, match="did you mean") as refused:
        run(loop)
    assert seen == [str(refused.value), "cleaned up"]
    assert {"loop", "check_metrics"} <= {entry.name for entry in refused.traceback}


def test_a_loop_that_catches_what_is_wrong_with_its_report_is_not_gone_on_with() -> None:
    def stubborn(trial: Trial) -> Yields:
        for _ in trial.epochs(3):
            with suppress(ValueError):
                yield {"val_acuracy": 0.5}

    def leaving(trial: Trial) -> Yields:
        try:
            yield from stubborn(trial)
        except ValueError:
            return

    for loop in (stubborn, leaving):
        with pytest.raises(ValueError, match="did you mean"):
            run(loop)


# Its end


def test_closing_runs_the_finally_blocks_of_a_loop() -> None:
    done = list[str]()

    def loop(trial: Trial) -> Yields:
        try:
            yield from plain(trial)
        finally:
            done.append("cleaned up")

    trial = trial_of()
    epochs = records(loop, trial)
    next(epochs)
    assert done == []
    epochs.close()
    assert done == ["cleaned up"]
    assert trial.close_error is None


def swallowing(trial: Trial) -> Yields:
    for _ in trial.epochs(2):
        with suppress(BaseException):  # as a bare `except:` does
            yield scored()


def unclean(trial: Trial) -> Yields:
    try:
        yield from plain(trial)
    finally:
        raise OSError("no space left")


@pytest.mark.parametrize(
    ("loop", "message"),
    [
        (
            swallowing,
            "the loop went on when it was closed: let GeneratorExit pass, which `except:` and `except BaseException` "
            "around a yield catch",
        ),
        (unclean, "no space left"),
    ],
)
def test_what_goes_wrong_when_a_loop_is_closed_does_not_change_why_it_was(loop: Any, message: str) -> None:
    trial = trial_of()
    epochs = records(loop, trial)
    next(epochs)
    with pytest.raises(KeyboardInterrupt):
        epochs.throw(KeyboardInterrupt)
    assert str(trial.close_error) == message


def test_a_loop_that_swallows_the_end_that_was_asked_for_ends_all_the_same() -> None:
    interruption = Interruption()

    def loop(trial: Trial) -> Yields:
        try:
            for _ in trial.epochs(3):
                yield scored()
        except BaseException:
            return

    epochs = records(loop, trial_of(interruption=interruption))
    next(epochs)
    interruption.request()
    with pytest.raises(KeyboardInterrupt):
        next(epochs)


def test_a_loop_that_names_nothing_begins_anew_and_says_so(tmp_path: Path) -> None:
    def bare(trial: Trial) -> Iterator[Mapping[str, Any]]:
        for epoch in trial.epochs(3):
            yield {"val_accuracy": float(epoch)}

    files = Checkpoint(Folder(tmp_path), "1.pt", every_seconds=0)
    epochs = records(bare, trial_of(checkpoint=files))
    assert [next(epochs).epoch, next(epochs).epoch] == [1, 2]
    epochs.close()
    later = Checkpoint(Folder(tmp_path), "2.pt", earlier=["1.pt"], missing="no checkpoint")
    assert [record.epoch for record in records(bare, trial_of(checkpoint=later))] == [1, 2, 3]
    assert later.passed_over == "began again: the loop names nothing in trial.epochs to go on with"
    assert list(tmp_path.iterdir()) == []
