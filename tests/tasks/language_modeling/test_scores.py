"""Surprise at masked words: its score, its file, verdicts by it, changes and mistakes."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.formatting import format_runs
from pipeline.registry.opponent import Opponent
from pipeline.registry.verdict import judge
from stages.config.register import GateParams
from stages.scoring import compare_labels
from stages.statistics import significance
from stages.tasks.language_modeling import presentation
from stages.tasks.language_modeling.scores import metric, scoring
from stages.tasks.language_modeling.scores.predictions import read_predictions, write_predictions
from stages.tracking.version_artifacts import load_task
from tests.tasks.language_modeling.reports import metrics_of, windows_of

GATE = GateParams(
    significance_level=0.05,
    min_score=None,
    max_drop_per_label=0.05,
    max_drop_per_slice=None,
    max_forgetting=None,
    max_latency_ms=None,
)
LABELS = compare_labels([scoring.LABEL], [scoring.LABEL])


def test_score_is_the_mean_surprise_and_rests_on_documents() -> None:
    own = windows_of()
    primary = scoring.primary(own, scoring.PRIMARY)
    assert primary["value"] == pytest.approx(own.nats_L.mean())
    assert primary["low"] < primary["value"] < primary["high"]
    assert primary["support"] == 20  # of three windows each
    perplexity = metric.primary(own, metric.PERPLEXITY)
    assert [perplexity[key] for key in ("value", "low", "high")] == pytest.approx(
        [math.exp(primary[key]) for key in ("value", "low", "high")]
    )
    assert scoring.measure(own, scoring.PRIMARY).is_error


def test_interval_is_that_of_a_bootstrap_over_documents() -> None:
    own, generator = windows_of(), np.random.default_rng(0)
    document_L = own.document_E[own.window_L]
    nats, counts = (np.bincount(document_L, weights) for weights in (own.nats_L, None))
    drawn = generator.integers(0, 20, (4000, 20))
    means = nats[drawn].sum(1) / counts[drawn].sum(1)
    primary = scoring.primary(own, scoring.PRIMARY)
    assert [primary["low"], primary["high"]] == pytest.approx(np.quantile(means, [0.025, 0.975]), abs=0.06)


def test_a_better_model_is_promoted_the_same_one_held_and_a_worse_one_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(significance, "TRIALS", 1000)
    worse, better = windows_of(300), windows_of(300, better_by=0.1)
    task = load_task("language_modeling")
    verdicts = [
        judge(new, Opponent(old, old, LABELS), GATE, task=task)
        for old, new in ((worse, better), (worse, worse), (better, worse))
    ]
    assert [verdict.verdict for verdict in verdicts] == ["PROMOTE", "HOLD", "REJECT"]
    assert verdicts[0].difference == pytest.approx(better.nats_L.mean() - worse.nats_L.mean())
    assert verdicts[0].reasons[0].startswith("it is better: nats per token ")


def test_the_file_holds_all_of_the_predictions(tmp_path: Path) -> None:
    splits = {"test": windows_of(), "dev": windows_of(31, seed=2)}
    write_predictions(tmp_path / "file", splits)
    found = read_predictions(tmp_path / "file")
    for split, own in splits.items():
        assert scoring.have_same_examples(found[split], own)
        assert scoring.have_same_answers(found[split], own)
        for name in ("word_L", "gold_L", "predicted_L", "bounds_E"):
            assert getattr(found[split], name).tolist() == getattr(own, name).tolist()
        assert (found[split].words.to_pylist(), found[split].guesses.to_pylist()) == (
            own.words.to_pylist(), own.guesses.to_pylist()
        )  # fmt: skip


def test_predictions_of_other_masks_or_another_tokenizer_are_for_other_examples() -> None:
    own = windows_of()
    assert not scoring.have_same_examples(own, replace(own, tokenizer_digest="b"))
    assert not scoring.have_same_examples(own, replace(own, place_L=own.place_L + 1))
    assert not scoring.have_same_answers(own, windows_of(better_by=0.1))


def test_changes_are_of_windows_that_cross_the_average() -> None:
    before, after = windows_of(), windows_of(better_by=0.4)
    changes = scoring.list_changes(before, after, limit=2)
    assert changes["total"] == 60
    assert changes["counts"]["fixed"] > changes["counts"]["broken"]
    for example in json.loads(json.dumps(changes["examples"])):
        for side in ("first", "second"):
            assert format_runs(presentation.show_answer(example, side, "gold"))


def test_mistakes_have_the_most_surprising_word_first() -> None:
    own = windows_of()
    found = json.loads(json.dumps(scoring.list_mistakes(own)))
    most = [entry["confidence"] for entry in found]
    assert most == sorted(most, reverse=True)
    assert {entry["document"] for entry in found} <= set(own.slices["document"].to_pylist())
    missed_W = np.array(
        [guess != word for word, guess in zip(own.words.to_pylist(), own.guesses.to_pylist(), strict=True)]
    )
    assert most[0] == pytest.approx(own.nats_W[missed_W].max())
    assert {kind for entry in found for kind in entry["kinds"]} == set(scoring.mistake_kinds(own))
    assert all(("surprising" in entry["kinds"]) == (entry["confidence"] > math.log(1000)) for entry in found)
    assert format_runs(presentation.show_answer(found[0], "gold", "predicted"))


def test_metrics_can_be_written_and_tabulated() -> None:
    metrics = metrics_of(windows_of())
    assert json.loads(json.dumps(metrics)) == metrics
    assert sum(row["support"] for row in metrics["test"]["by_frequency"].values()) == metrics["test"]["masked_tokens"]
    assert [row["split"] for row in presentation.tabulate_scores(metrics)] == ["test", "dev"]
    assert len(presentation.tabulate_card(metrics, limit=5).rows) == 2
