"""A training that calls back as a loop: where it rests, how it ends, and what is refused."""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from contextvars import ContextVar
from threading import Thread
from typing import Any

import pytest
import torch
from loops_for_tests import trial_of

from autoaug import Trial
from autoaug.trial import Report, called_back, records

PLACE = ContextVar("place", default="outside")


def reported(fit: Callable[[Report], object], total: int = 3) -> Iterator[Mapping[str, Any]]:
    """What a training reports to a trial of so many epochs."""
    return called_back(trial_of(), fit, total)


def three(report: Report) -> None:
    for k in range(3):
        report({"val_accuracy": k / 4})


def test_each_report_is_an_epoch() -> None:
    assert list(reported(three)) == [{"val_accuracy": 0.0}, {"val_accuracy": 0.25}, {"val_accuracy": 0.5}]


def test_a_training_that_calls_back_has_the_records_of_a_loop() -> None:
    found = list(records(lambda trial: called_back(trial, three, 3), trial_of()))
    assert [(record.epoch, record.metrics["val_accuracy"]) for record in found] == [(1, 0), (2, 0.25), (3, 0.5)]


def test_what_comes_after_the_last_report_is_run() -> None:
    ended = []

    def fit(report: Report) -> None:
        three(report)
        ended.append(True)

    assert len(list(reported(fit))) == 3
    assert ended


def test_it_begins_in_the_first_epoch_and_goes_on_in_the_next() -> None:
    trial, seen = trial_of(), []

    def fit(report: Report) -> None:
        for _ in range(2):
            seen.append(trial.epoch)
            report({})

    for _ in called_back(trial, fit, 2):
        seen.append(-trial.epoch)
    assert seen == [1, -1, 2, -2]


@pytest.mark.parametrize("reports", [0, 2])
def test_a_training_that_ends_early_is_a_loop_that_ends_early(reports: int) -> None:
    def loop(trial: Trial) -> Iterator[Mapping[str, Any]]:
        return called_back(trial, lambda report: [report({"val_accuracy": 0.5}) for _ in range(reports)], 4)

    with pytest.raises(ValueError, match="ended without a report" if reports == 0 else "ended after"):
        list(records(loop, trial_of()))


def test_an_epoch_after_the_last_is_refused_and_the_training_ended() -> None:
    ended = []

    def fit(report: Report) -> None:
        try:
            three(report)
            report({})
        finally:
            ended.append(True)

    with pytest.raises(ValueError, match="goes on after epoch 3, the last"):
        list(reported(fit))
    assert ended


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt, SystemExit, torch.OutOfMemoryError])
@pytest.mark.parametrize("reports", [0, 1])
def test_what_is_raised_in_the_training_is_raised_by_the_loop(error: type[BaseException], reports: int) -> None:
    def fit(report: Report) -> None:
        for _ in range(reports):
            report({})
        raise error("in the training")

    epochs = reported(fit)
    for _ in range(reports):
        next(epochs)
    with pytest.raises(error, match="in the training"):
        next(epochs)
    assert list(epochs) == []


def test_closing_the_loop_ends_the_training_where_it_reported() -> None:
    seen = []

    def fit(report: Report) -> None:
        try:
            three(report)
        except BaseException as ending:
            seen.append(type(ending).__name__)
            raise
        finally:
            seen.append("cleaned up")

    with closing(reported(fit)) as epochs:
        next(epochs)
        assert not seen
    assert seen == ["GreenletExit", "cleaned up"]


def test_closing_before_it_began_or_after_it_ended_does_nothing() -> None:
    begun = []
    reported(lambda report: begun.append(True)).close()
    epochs = reported(three)
    assert len(list(epochs)) == 3
    epochs.close()
    assert not begun


def test_an_error_while_it_is_ended_is_raised() -> None:
    def fit(report: Report) -> None:
        try:
            three(report)
        finally:
            raise OSError("the log is away")

    epochs = reported(fit)
    next(epochs)
    with pytest.raises(OSError, match="the log is away"):
        epochs.close()


def test_a_training_that_goes_on_after_it_was_ended_is_told_so() -> None:
    def fit(report: Report) -> None:
        for _ in range(3):
            try:
                report({})
            except BaseException:  # as broad handlers do
                continue

    epochs = reported(fit)
    next(epochs)
    with pytest.raises(RuntimeError, match="was ended in a report, and reports again: let GreenletExit through"):
        epochs.close()


def test_a_report_of_another_thread_is_refused() -> None:
    said = []

    def from_elsewhere(report: Report) -> None:
        with pytest.raises(RuntimeError, match="reported from outside its training: report it in the thread"):
            report({})
        said.append(True)

    def fit(report: Report) -> None:
        thread = Thread(target=from_elsewhere, args=(report,))
        thread.start()
        thread.join()
        report({})

    assert len(list(reported(fit, 1))) == 1
    assert said


def test_a_report_after_the_training_is_refused() -> None:
    held: list[Report] = []

    def fit(report: Report) -> None:
        held.append(report)
        report({})

    assert len(list(reported(fit, 1))) == 1
    with pytest.raises(RuntimeError, match="before that ends"):
        held[0]({})


def test_a_training_within_a_training_reports_to_its_own_loop() -> None:
    inner = []

    def fit(report: Report) -> None:
        for metrics in reported(three):
            inner.append(metrics)
        report({"val_accuracy": len(inner)})

    assert list(reported(fit, 1)) == [{"val_accuracy": 3}]
    assert len(inner) == 3


def test_a_report_to_the_loop_around_is_refused() -> None:
    def fit(report: Report) -> None:
        with pytest.raises(RuntimeError, match="outside its training"):
            next(reported(lambda _: report({}), 1))
        report({})

    assert len(list(reported(fit, 1))) == 1


def test_a_loop_that_is_closed_within_another_training_goes_back_there() -> None:
    """As when the garbage of a trial that failed is collected in the next one."""
    ended = []

    def first(report: Report) -> None:
        try:
            three(report)
        finally:
            ended.append(True)

    def second(report: Report) -> None:
        left.close()
        report({"ended": bool(ended)})

    left = reported(first)
    next(left)
    assert list(reported(second, 1)) == [{"ended": True}]


def test_a_loop_may_be_gone_on_with_within_another_training() -> None:
    def second(report: Report) -> None:
        report({"rest": list(left)})

    left = reported(three)
    next(left)
    assert list(reported(second, 1)) == [{"rest": [{"val_accuracy": 0.25}, {"val_accuracy": 0.5}]}]


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_who_judges_an_epoch_has_gradients_though_it_was_reported_within_a_validation(mode: Callable[[], Any]) -> None:
    modes = []

    def fit(report: Report) -> None:
        for _ in range(2):
            with mode():
                report({})
                assert not torch.is_grad_enabled()
            assert torch.is_grad_enabled()

    for _ in reported(fit, 2):
        modes.append((torch.is_grad_enabled(), torch.is_inference_mode_enabled()))
    assert modes == [(True, False), (True, False)]


def test_the_training_sees_the_context_of_its_caller() -> None:
    """A greenlet begins with an empty one of its own."""
    token = PLACE.set("inside")
    try:
        assert list(reported(lambda report: report({"place": PLACE.get()}), 1)) == [{"place": "inside"}]
    finally:
        PLACE.reset(token)


def test_a_missing_greenlet_is_named_with_what_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "greenlet", None)
    with pytest.raises(ModuleNotFoundError, match=r"needs greenlet: pip install 'autoaug\[lightning\]'"):
        next(reported(three))
