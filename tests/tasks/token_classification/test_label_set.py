"""The types that a model knows, by its config."""

import json
from pathlib import Path

import pytest

from stages.errors import ArtifactError
from stages.scoring import LabelChange, compare_labels
from stages.tasks.token_classification.scores.label_set import read_types, types_of


def test_a_type_is_all_that_follows_the_first_hyphen() -> None:
    assert types_of(["O", "B-PER.NAM", "I-PER.NAM", "B-work-of-art", "I-PER"]) == {"PER.NAM", "work-of-art", "PER"}


def test_the_types_of_a_model_are_read_from_its_config(tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"id2label": {"0": "O", "1": "B-ORG", "2": "I-ORG"}}), encoding="utf-8")
    assert read_types(config) == {"ORG"}


@pytest.mark.parametrize("content", ["{}", "[]", '{"id2label": ', '{"id2label": ["O"]}'])
def test_a_config_without_labels_is_refused(tmp_path: Path, content: str) -> None:
    config = tmp_path / "config.json"
    config.write_text(content, encoding="utf-8")
    with pytest.raises(ArtifactError, match=r"config\.json (names no labels|is damaged)"):
        read_types(config)


def test_types_are_lost_and_gained() -> None:
    assert compare_labels(["PER", "ORG", "LOC"], ["GPE", "PER", "LOC"]) == LabelChange(["LOC", "PER"], ["ORG"], ["GPE"])
    assert compare_labels(["PER"], ["PER"]).is_none
