"""The scores of numbers are those of SciPy and scikit-learn to the last digit."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics

from stages.errors import ArtifactError
from stages.statistics.measure import Floats
from stages.statistics.significance import gain, gain_interval, p_value
from stages.statistics.slices import score_slices
from stages.tasks.regression.scores.metric import PRIMARIES, primary, primary_measure, scores
from stages.tasks.regression.scores.predictions import Predictions, read_predictions, same_examples, write_predictions


def predictions(gold_ED: Floats, predicted_ED: Floats) -> Predictions:
    examples, targets = gold_ED.shape
    return Predictions(
        texts=pa.array([f"text {number}" for number in range(examples)], pa.string()),
        pairs=None,
        targets=tuple(f"T{number}" for number in range(targets)),
        gold_ED=gold_ED,
        predicted_ED=predicted_ED,
        windows_E=np.ones(examples, np.int64),
        slices={"region": pa.array(["ab"[i % 2] for i in range(examples)], pa.string()).dictionary_encode()},
    )


def random_predictions(seed: int, examples: int, targets: int = 1, *, noise: float = 0.7) -> Predictions:
    generator = np.random.default_rng(seed)
    gold_ED = generator.normal(3, 10.0 ** generator.integers(-3, 4), (examples, targets))
    predicted_ED = gold_ED + noise * gold_ED.std() * generator.normal(size=gold_ED.shape)
    if seed % 2:
        gold_ED, predicted_ED = (np.round(numbers, 1) for numbers in (gold_ED, predicted_ED))  # with ties
    return predictions(gold_ED, predicted_ED)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10**6), st.integers(3, 300), st.integers(1, 4))
def test_scores_are_those_of_scipy_and_scikit_learn(seed: int, examples: int, targets: int) -> None:
    found = random_predictions(seed, examples, targets)
    gold, predicted = found.gold_ED, found.predicted_ED
    table = scores(found)
    for index, row in enumerate(table["per_target"].values()):
        one, other = (np.ascontiguousarray(numbers[:, index]) for numbers in (gold, predicted))
        if len(set(one)) > 1 and len(set(other)) > 1:
            assert row["pearson"] == stats.pearsonr(one, other).statistic
            assert row["spearman"] == stats.spearmanr(one, other).statistic
        assert row["rmse"] == metrics.root_mean_squared_error(one, other)
        assert row["mae"] == metrics.mean_absolute_error(one, other)
        assert row["r2"] == metrics.r2_score(one, other)
    overall = table["overall"]
    assert overall["rmse"] == pytest.approx(metrics.root_mean_squared_error(gold, predicted), rel=1e-14)
    assert overall["mae"] == pytest.approx(metrics.mean_absolute_error(gold, predicted), rel=1e-14)
    assert overall["r2"] == pytest.approx(metrics.r2_score(gold, predicted), rel=1e-12, abs=1e-12)
    for name in PRIMARIES:
        row = primary(found, name)
        assert [row["value"], row["low"], row["high"]] == [overall[f"{name}{end}"] for end in ("", "_low", "_high")]
        assert primary_measure(found, name).value == pytest.approx(row["value"], rel=1e-9, abs=1e-9)


def test_intervals_are_those_of_a_naive_bootstrap() -> None:
    found = random_predictions(3, 200)
    one, other = found.gold_ED[:, 0], found.predicted_ED[:, 0]
    generator = np.random.default_rng(1)
    names = ("pearson", "spearman", "rmse", "mae", "r2")
    resampled = []
    for _ in range(1000):
        chosen = generator.integers(0, 200, 200)
        pair = one[chosen], other[chosen]
        resampled.append(
            [
                stats.pearsonr(*pair).statistic,
                stats.spearmanr(*pair).statistic,
                metrics.root_mean_squared_error(*pair),
                metrics.mean_absolute_error(*pair),
                metrics.r2_score(*pair),
            ]
        )
    ends = np.quantile(resampled, [0.025, 0.975], axis=0).T
    for name, (low, high) in zip(names, ends, strict=True):
        row = scores(found)["overall"]
        assert (row[f"{name}_low"], row[f"{name}_high"]) == pytest.approx((low, high), abs=0.15 * (high - low)), name


def test_constants_have_no_correlation_and_r2_as_in_scikit_learn() -> None:
    varied, constant = np.arange(6.0)[:, None], np.full((6, 1), 2.5)
    for gold, predicted, r2 in ((varied, constant, 0), (constant, varied, 0), (constant, constant, 1)):
        row = scores(predictions(gold, predicted))["overall"]
        assert row["pearson"] == row["spearman"] == row["pearson_high"] == row["spearman_low"] == 0
        assert row["r2"] == pytest.approx(metrics.r2_score(gold, predicted))
        assert r2 == pytest.approx(max(row["r2"], 0), abs=0.01)
        assert primary_measure(predictions(gold, predicted), "pearson").value == 0


def test_one_example_or_none_is_scored() -> None:
    for examples in (0, 1):
        numbers = np.full((examples, 2), 1.5)
        row = scores(predictions(numbers, numbers + 1))["overall"]
        assert (row["pearson"], row["spearman"], row["rmse"], row["support"]) == (0, 0, examples, examples)


@pytest.mark.parametrize("name", PRIMARIES)
def test_two_models_are_compared_by_each_primary_score(name: str) -> None:
    worse, better = (random_predictions(2, 200, 2, noise=noise) for noise in (0.7, 0.3))
    first, second = (primary_measure(each, name) for each in (worse, better))
    assert gain(first, second) > 0
    assert p_value(first, second) < 0.01
    assert p_value(second, first) > 0.99
    low, high = gain_interval(first, second)
    assert 0 < low < gain(first, second) < high
    with pytest.raises(ValueError, match="not scored on the same examples"):
        gain(first, primary_measure(random_predictions(4, 200, 2), name))


def test_a_score_from_ranks_is_not_primary() -> None:
    with pytest.raises(KeyError):
        primary_measure(random_predictions(1, 9), "spearman")


def test_numbers_far_from_zero_keep_their_digits() -> None:
    found = random_predictions(2, 100)
    far = replace(found, gold_ED=found.gold_ED + 2.0**30, predicted_ED=found.predicted_ED + 2.0**30)
    for name in PRIMARIES:
        assert primary_measure(far, name).value == pytest.approx(primary_measure(found, name).value, rel=1e-4)


def test_slices_have_the_score_of_their_examples() -> None:
    found = random_predictions(3, 60)
    row = score_slices(primary_measure(found, "rmse"), found.slices)["region"]["a"]
    assert row["value"] == pytest.approx(metrics.root_mean_squared_error(found.gold_ED[::2], found.predicted_ED[::2]))
    assert row["support"] == 30


def test_predictions_are_read_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "predictions.parquet"
    splits = {"test": random_predictions(1, 5, 2), "dev": random_predictions(2, 3, 2)}
    write_predictions(path, splits)
    for split, found in read_predictions(path).items():
        own = splits[split]
        assert same_examples(found, own)
        assert found.predicted_ED.tolist() == own.predicted_ED.tolist()
        assert (found.targets, found.pairs, found.windows_E.tolist()) == (own.targets, None, own.windows_E.tolist())
        assert found.slices["region"].to_pylist() == own.slices["region"].to_pylist()
    assert not same_examples(splits["test"], replace(splits["test"], gold_ED=splits["test"].gold_ED + 1))
    pq.write_table(pq.read_table(path).replace_schema_metadata({"format_version": "9"}), path)
    with pytest.raises(ArtifactError, match="has format version 9"):
        read_predictions(path)
    path.write_bytes(path.read_bytes()[:90])
    with pytest.raises(ArtifactError, match="is damaged"):
        read_predictions(path)
    path.unlink()
    with pytest.raises(ArtifactError, match="no such file"):
        read_predictions(path)
