"""The head of a model that goes on from another one."""

from pathlib import Path

import pytest
import torch

from stages.modeling.classifier import labels_of, load_classifier

BEFORE = ["bad", "fair", "good"]


@pytest.fixture
def trained(tiny_pretrained: Path, tmp_path: Path) -> Path:
    """A model with a head for three labels."""
    model = load_classifier(tiny_pretrained, labels=BEFORE)
    torch.nn.init.normal_(model.classifier.bias)
    model.save_pretrained(tmp_path)
    return tmp_path


@pytest.mark.parametrize("labels", [["good", "new", "bad"], ["new", "good", "bad", "other"], ["good", "bad"]], ids=len)
def test_rows_of_labels_of_the_same_name_are_kept(trained: Path, labels: list[str]) -> None:
    before, model = load_classifier(trained), load_classifier(trained, labels=labels)
    assert labels_of(model) == labels
    for row, label in enumerate(labels):
        if label in BEFORE:
            old = BEFORE.index(label)
            assert torch.equal(model.classifier.weight[row], before.classifier.weight[old])
            assert model.classifier.bias[row] == before.classifier.bias[old]
        else:
            assert not any(torch.equal(model.classifier.weight[row], weight) for weight in before.classifier.weight)
            assert model.classifier.bias[row] == 0
    for name, weight in before.base_model.named_parameters():
        assert torch.equal(model.base_model.get_parameter(name), weight), name


def test_rows_of_new_labels_follow_from_the_seed(trained: Path) -> None:
    heads = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        model = load_classifier(trained, labels=["good", "new", "other"])
        heads.append(model.classifier.weight)
    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[0][1], heads[2][1])
    assert torch.equal(heads[0][0], heads[2][0])
    assert 0.5 < heads[0][1:].std() / model.config.initializer_range < 2  # as that of a new model
