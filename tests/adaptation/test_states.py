"""Kept states of frozen layers, compared with those that are computed where they are needed."""

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel

from stages.adaptation.adapt import adapt_model
from stages.adaptation.states import find_states
from stages.modeling import inference
from stages.modeling.encoder import label_logits, pack
from stages.modeling.head import Split
from stages.modeling.inference import each_batch, keep_frozen_states
from tests.modeling.conftest import COMPUTE, random_model, random_split
from tests.modeling.test_encoder import PACKED, PADDED
from tests.modeling.test_text_split import text_split

LENGTHS = [5, 9, 3, 12, 7, 4, 11]
SPLITS = {
    "tokens": lambda: random_split(LENGTHS),
    "means": lambda: text_split(LENGTHS, "mean", pairs=True),
    "first tokens": lambda: text_split(LENGTHS, "first"),
}
COUNTS = {"one layer": {"adapt": "freeze", "freeze": 1}, "all layers": {"adapt": "freeze", "freeze": 2}}


def frozen_model(config: dict[str, object], adaptation: dict[str, object]) -> PreTrainedModel:
    model = random_model(**config)
    adapt_model(model, **adaptation)
    return model


def keep(model: PreTrainedModel, split: Split) -> None:
    keep_frozen_states(model, split, COMPUTE["fp32"], batch_tokens=20)


@pytest.mark.parametrize("adaptation", COUNTS.values(), ids=COUNTS)
@pytest.mark.parametrize("config", PACKED.values(), ids=PACKED)
@pytest.mark.parametrize("name", SPLITS)
def test_logits_from_kept_states_are_those_of_the_whole_encoder(
    config: dict[str, object], adaptation: dict[str, object], name: str
) -> None:
    split = SPLITS[name]()
    model, plain = (frozen_model(config, adaptation) for _ in range(2))
    keep(model, split)
    rows = np.array([3, 1, 4, 0, 5, 2])
    for part in (slice(None), slice(2, 5)):
        with torch.no_grad():
            found_OC, expected_OC = (
                label_logits(m, pack(m, split, rows, part, COMPUTE["fp32"])) for m in (model, plain)
            )
        torch.testing.assert_close(found_OC, expected_OC, rtol=0, atol=1e-5)


def test_a_split_is_predicted_from_its_own_states() -> None:
    model = frozen_model(PACKED["bert"], {"adapt": "head"})
    split, other = random_split(LENGTHS), random_split(LENGTHS, seed=1)
    expected = list(each_batch(model, split, COMPUTE["fp32"], batch_tokens=20))
    for each in (other, split):
        keep(model, each)
    found = list(each_batch(model, split, COMPUTE["fp32"], batch_tokens=20))
    for (rows, logits_OC), (expected_rows, expected_OC) in zip(found, expected, strict=True):
        assert np.array_equal(rows, expected_rows)
        np.testing.assert_allclose(logits_OC, expected_OC, atol=1e-5)


@pytest.mark.parametrize(
    ("config", "adaptation"),
    [
        (PACKED["bert"], {"adapt": "full"}),
        (PACKED["bert"], {"adapt": "freeze", "freeze": 0}),
        (PADDED["distilbert"], {"adapt": "head"}),
    ],
    ids=["nothing is frozen", "embeddings alone", "another architecture"],
)
def test_no_states_are_kept_where_a_step_computes_them(
    config: dict[str, object], adaptation: dict[str, object]
) -> None:
    model, split = frozen_model(config, adaptation), random_split(LENGTHS)
    keep(model, split)
    assert find_states(model, split) is None


def test_states_larger_than_the_bound_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    split = random_split(LENGTHS)
    size = int(split.lengths.sum()) * 16 * 4
    for bound, kept in ((size, True), (size - 1, False)):
        monkeypatch.setattr(inference, "MAX_STATES", bound)
        model = frozen_model(PACKED["bert"], COUNTS["one layer"])
        keep(model, split)
        assert (find_states(model, split) is not None) == kept
