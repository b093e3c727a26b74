"""Older corpora in prose."""

from stages.statistics.older import describe_older, find_forgetting, without_older

PRIMARY = {"name": "entity_strict/micro/f1", "value": 0.8, "low": 0.7, "high": 0.9, "support": 5}
FORGETTING = {"value": 0.05, "low": 0.01, "high": 0.09, "before": 0.85, "after": 0.8}
METRICS = {
    "test": {"primary": PRIMARY},
    "also": {"may": {"primary": PRIMARY, "forgetting": FORGETTING}, "june": {"primary": PRIMARY}},
}


def test_an_older_corpus_is_described_by_its_score_and_what_was_forgotten() -> None:
    score = "F1 0.8000 (95 % interval 0.7000 to 0.9000)"
    assert describe_older(METRICS) == [
        ("may", f"{score}; forgotten +0.0500 (+0.0100 to +0.0900), from 0.8500 to 0.8000"),
        ("june", score),
    ]
    assert find_forgetting(METRICS) == {"may": FORGETTING}
    assert without_older(METRICS) == {"test": METRICS["test"]}
    assert describe_older({"test": {}}) == []
