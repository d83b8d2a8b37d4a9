"""Rows of features: what a network sees of them against scikit-learn, files of them, and what is refused."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from optuna.distributions import FloatDistribution
from sklearn.datasets import load_iris, load_wine
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Generator, Tensor

from autoaug import Budget, Study, Task, Trial, run
from autoaug.data import Data, DataError, corrupted, feature_table, load_data, resized, resplit, subset, tabular
from autoaug.data._features import CLIP
from autoaug.execution import Options
from autoaug.mixing import MIXES
from autoaug.policy import Fixed, ready
from autoaug.store import Store
from autoaug.strategies import none, randaugment
from autoaug.study import Loader, data_facts
from autoaug.train import RECIPES, TrainingRun

Arrays = tuple[numpy.ndarray, numpy.ndarray]


def seen(data: Data, images: Tensor) -> numpy.ndarray:
    """What a network sees of images after the normalisation of the trainer."""
    task = Task(data="digits", model=lambda classes: torch.nn.Linear(1, classes), device="cpu", warmup=0)
    training = TrainingRun(task, Fixed(ready.none()), MIXES["none"](), None, Generator().manual_seed(0), data)
    found: Tensor = (images - training.mean) / training.std
    return found.flatten(1).numpy()


@pytest.mark.parametrize("lost", [0.0, 0.2])
def test_a_network_sees_what_scikit_learn_makes_of_the_rows_that_are_trained_on(lost: float) -> None:
    x, y = load_wine(return_X_y=True)
    x = x.copy()
    x[numpy.random.default_rng(0).random(x.shape) < lost] = numpy.nan
    x[:, 5] = 3.7  # which never varies
    parts = [(x[k::3], y[k::3]) for k in range(3)]
    data = load_data(tabular(*parts), test=True)
    scaler = make_pipeline(SimpleImputer(), StandardScaler()).fit(parts[0][0])
    assert data.test is not None
    for split, (rows, targets) in zip((data.train, data.val, data.test), parts, strict=True):
        expected = scaler.transform(rows)
        assert numpy.abs(expected).max() < CLIP
        numpy.testing.assert_allclose(seen(data, split.images), expected, atol=1e-5)
        assert split.targets.tolist() == targets.tolist()
    assert data.train.images.shape == (60, 1, 1, 13)
    assert (str(data.standard), data.kind) == ("none", "features")


def test_rows_that_are_cut_off_for_scores_say_nothing_to_the_scaler() -> None:
    """Whatever lies in validation and test rows, the training rows come out with mean 0 and deviation 1."""
    x, y = load_iris(return_X_y=True)
    for seed in (0, 1):
        data = load_data(tabular((x, y)), test=True, seed=seed)
        z = seen(data, data.train.images)
        numpy.testing.assert_allclose([z.mean(0), z.std(0)], [[0] * 4, [1] * 4], atol=1e-5)
        assert numpy.abs(seen(data, data.val.images).mean(0)).max() > 1e-3


def test_what_is_far_out_is_cut_off_and_large_numbers_keep_their_differences() -> None:
    x = numpy.stack([numpy.arange(4000) % 2 + 1e9, numpy.arange(4000.0)], axis=1)
    x[7, 1] = 1e9
    data = load_data(tabular((x, numpy.arange(4000) % 2)), test=True)
    assert data.test is not None
    every = torch.cat([data.train.images, data.val.images, data.test.images])
    assert 0 <= float(every.min()) <= float(every.max()) <= 1
    assert float(every[..., 1].max()) == 1.0
    z = seen(data, data.train.images)
    numpy.testing.assert_allclose(numpy.unique(z[:, 0].round(4)), [-1, 1], atol=1e-4)


def test_categories_become_features_of_their_own() -> None:
    x = numpy.array([[0.0, 4], [1, 7], [2, 4], [3, numpy.nan]] * 20)
    y = numpy.arange(80) // 2 % 2
    data = load_data(tabular((x, y), (x, y), (x, y), categorical=[1]))
    hot = [numpy.where(numpy.isnan(x[:, 1]), numpy.nan, x[:, 1] == value) for value in (4, 7)]
    expected = SimpleImputer().fit_transform(numpy.stack([x[:, 0], *hot], axis=1))
    numpy.testing.assert_allclose(seen(data, data.val.images), StandardScaler().fit_transform(expected), atol=1e-5)


def test_a_feature_that_no_training_row_has_is_zero() -> None:
    x = numpy.array([[0.0, numpy.nan], [1.0, numpy.nan]] * 30)
    val = (numpy.array([[0.0, 5.0], [1.0, 5.0]] * 5), numpy.arange(10) % 2)
    data = load_data(tabular((x, numpy.arange(60) % 2), val))
    assert not seen(data, data.train.images)[:, 1].any()
    assert not seen(data, data.val.images)[:, 1].any()


def test_splits_are_drawn_anew_and_sets_are_made_of_tables() -> None:
    x, y = load_iris(return_X_y=True)
    data = load_data(tabular((x, y)))
    again = resplit(data, 0.1, Generator().manual_seed(3))
    both = [torch.cat([d.train.images, d.val.images]).flatten(1).sort(0).values for d in (data, again)]
    assert torch.equal(*both)
    assert len(load_data(subset(tabular((x, y)), train=30, val=30)).train) == 30
    wrong = load_data(corrupted(tabular((x, y)), share=0.5))
    assert torch.equal(wrong.train.images, data.train.images)
    assert (wrong.train.targets != data.train.targets).any()


CSV = """size,colour,weight,kind
{rows}
"""


def test_a_csv_has_numbers_categories_and_missing_cells(tmp_path: Path) -> None:
    rows = [f"{k},{('red', 'blue', '?')[k % 3]},{'' if k == 3 else k * k},{'ab'[k // 2 % 2]}" for k in range(60)]
    (tmp_path / "t.csv").write_text(CSV.format(rows="\n".join(rows)))
    data = load_data(f"{tmp_path}/t.csv:kind", test=True)
    assert data.classes == ("a", "b")
    assert data.train.images.shape[1:] == (1, 1, 4)  # size, blue, red, weight
    assert load_data(feature_table(tmp_path / "t.csv", "kind"), test=True).fingerprint == data.fingerprint
    assert Task(data=f"{tmp_path}/t.csv:kind:corrupted=0.2", model="mlp").load().classes == ("a", "b")
    (tmp_path / "t.csv").write_text(CSV.format(rows="\n".join(rows[:50])))
    assert load_data(f"{tmp_path}/t.csv:kind").fingerprint != data.fingerprint


def test_sets_of_an_npz_keep_their_parts_and_leave_rare_classes_out(tmp_path: Path) -> None:
    rng = numpy.random.default_rng(0)
    x = rng.normal(size=(60, 3)).astype(numpy.float32)
    y = numpy.array([0] * 28 + [1] * 2 + [2] * 30)
    split = {"two_x_train": x, "two_y_train": y % 2, "two_x_valid": x, "two_y_valid": y % 2}
    numpy.savez(tmp_path / "u.npz", one_x=x, one_y=y, **{**split, "two_y_train": y // 2, "two_y_valid": y // 2})
    one = load_data(f"{tmp_path}/u.npz:one", test=True)
    assert one.classes == ("0", "2")
    assert one.reading is not None
    assert [(row.count, row.examples) for row in one.reading.passed_over] == [(2, ("class '1'",))]
    with pytest.raises(DataError, match=r"class '1' of .* has 2 training images: it needs at least 3"):
        load_data(feature_table(tmp_path / "u.npz", "one", least=1))
    two = load_data(f"{tmp_path}/u.npz:two")
    assert (len(two.val), two.val_is_cut, two.classes) == (60, False, ("0", "1"))


NUMBERS = numpy.arange(120.0).reshape(40, 3)
TWO = numpy.arange(40) % 2


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (lambda: tabular(NUMBERS), r"tabular\(..., train=...\) is no pair: give \(features, classes\)"),
        (lambda: tabular((NUMBERS[0], TWO)), r"the train features are float64 of shape \(3,\): give N x D numbers"),
        (lambda: tabular((NUMBERS.astype(str), TWO)), "the train features are <U32 of shape"),
        (lambda: tabular((NUMBERS, TWO), (NUMBERS, TWO[:3])), r"the val classes are int64 of shape \(3,\) for 40 rows"),
        (lambda: tabular((NUMBERS, TWO / 2)), "the train classes are float64 of shape"),
        (lambda: tabular((NUMBERS / [1, 0, 1], TWO)), "feature 1 of the train rows is infinite"),
        (lambda: tabular((NUMBERS, TWO), categorical=[3]), "categorical=3 is no column of the features"),
    ],
)
def test_what_is_no_table_is_refused(given: Any, message: str) -> None:
    with numpy.errstate(divide="ignore", invalid="ignore"), pytest.raises(DataError, match=message):
        given()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n", r"no column 'kind': known are a, b"),
        ("a,kind,kind\n1,2,2\n", "several columns 'kind'"),
        ("a,kind\n1,2,3\n", "line 2 of .* has 3 cells instead of 2: mend or remove it"),
        ("a,kind\n1,x\n1,?\n", "line 3 has no class; mend or remove it"),
        ("a,kind\n", "it has no rows; mend"),
        ("kind\n1\n", "no feature; mend"),
        ("a,kind\n1,x\n2,y\n", r"no class of data '.*:kind' has 15 training rows: give feature_table\(least=...\)"),
    ],
)
def test_a_csv_that_cannot_be_learned_from_is_refused(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        load_data(f"{tmp_path}/t.csv:kind")


def test_an_npz_without_such_a_set_is_refused(tmp_path: Path) -> None:
    numpy.savez(tmp_path / "u.npz", iris_x=NUMBERS, iris_y=TWO, wine_x=NUMBERS, minus_x=NUMBERS, minus_y=TWO - 1)
    with pytest.raises(DataError, match=r"no set 'irs' in .*: did you mean 'iris'"):
        load_data(f"{tmp_path}/u.npz:irs")
    with pytest.raises(DataError, match=r"set 'wine' in .* has no classes for train: add its array y"):
        load_data(f"{tmp_path}/u.npz:wine")
    with pytest.raises(DataError, match=r"classes of 'minus' in .* run from -1 to 0: give 0 to K-1"):
        load_data(f"{tmp_path}/u.npz:minus")
    with pytest.raises(DataError, match=r"no file at .*: give the path of an existing table of features"):
        load_data(f"{tmp_path}/none.npz:iris")
    numpy.savez(tmp_path / "v.npz", x_train=NUMBERS, y_train=TWO)
    with pytest.raises(DataError, match="rows of features are for tabular"):
        load_data(tmp_path / "v.npz")


def test_what_is_made_for_images_is_refused() -> None:
    data = tabular((NUMBERS, TWO))
    with pytest.raises(DataError, match=r"standard augmentation 'crop' is for images, and .* are rows of features"):
        load_data(data, standard="crop")
    assert str(load_data(data, standard="none").standard) == "none"
    with pytest.raises(DataError, match=r"rows of features, which have no size in pixels: leave Task.size out"):
        load_data(data, size=8)
    with pytest.raises(DataError, match="are rows of features: they have no size"):
        load_data(resized(data, 1))


def small_study(**strategies: Any) -> Study:
    return Study(
        name="tabular",
        task=Task(
            **{**RECIPES["mixup-2018-tabular"], "epochs": 2}, data=tabular(load_iris(return_X_y=True)), model="mlp"
        ),
        strategies=strategies,
        space={"mix.alpha": FloatDistribution(0.1, 1.0)},
        budget=Budget(trials=1),
        seeds=1,
    )


def test_a_study_of_a_table_searches_mixes(store: Store, options: Options) -> None:
    results = run(small_study(mixup=none()), store, options=options)
    assert [row.name for row in results.rows] == ["mixup"]
    assert 0 <= results.rows[0].test.mean <= 1


def test_a_policy_of_operations_on_images_is_refused_before_anything_runs(store: Store, options: Options) -> None:
    message = r"strategy 'ra' .*: the policy draws operations on images \(.*\), and the data are rows of features"
    with pytest.raises(ValueError, match=message):
        run(small_study(ra=randaugment()), store, options=options)

    def loop(trial: Trial) -> Iterator[dict[str, float]]:
        pytest.fail("time is spent")
        yield {}

    task = Task(data=tabular(load_iris(return_X_y=True)), epochs=2)
    own = replace(small_study(ra=randaugment()), task=task, train=loop)
    with pytest.raises(ValueError, match=message):
        run(own, store, options=options)


def test_a_plan_speaks_of_rows_and_features() -> None:
    [facts] = data_facts(small_study(mixup=none()), Loader())
    said = facts.sentences()
    assert said[0].startswith("data: 108 training, 12 validation, 30 test rows (")
    assert said[0].endswith("of 3 classes, of 4 features")
    assert any("12 validation rows: a score of" in sentence for sentence in said)
