import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from stages.encoding.files import IGNORED, NO_WORD, EncodedSplit
from stages.errors import ArtifactError
from stages.modeling.classifier import labels_of, load_classifier
from stages.tasks.token_classification.model.inference import predict
from tests.modeling.conftest import COMPUTE, LABELS, demo_block, encoded, random_model


def test_predict_gives_each_word_its_own_label_whatever_the_batches(
    tiny_pretrained: Path, demo_split: EncodedSplit
) -> None:
    model = load_classifier(tiny_pretrained, labels=LABELS)
    assert labels_of(model) == LABELS
    large, small, single = (
        predict(model, demo_split, COMPUTE["fp32"], batch_tokens=size, temperature=1.0) for size in (100_000, 64, 1)
    )
    gold = [[LABELS.index(tag) for tag in s.tags] for s in demo_block().sentences()]
    assert len(demo_split.lengths) > len(gold)  # some sentences are longer than a window here
    assert large.gold_W.tolist() == [label for sentence in gold for label in sentence]
    for other in (small, single):
        assert large.predicted_W.tolist() == other.predicted_W.tolist()
        np.testing.assert_allclose(large.probability_W, other.probability_W, atol=1e-5)


def test_predict_gives_the_labels_of_the_models_own_forward() -> None:
    split = encoded([([2, 7, 8, 3], [IGNORED, 0, IGNORED, IGNORED]), ([2, 9, 10, 11, 3], [IGNORED, 0, 0, 0, IGNORED])])
    model = random_model()
    predictions = predict(model, split, COMPUTE["fp32"], batch_tokens=100, temperature=1.0)
    for sentence, places in enumerate(([1], [1, 2, 3])):
        ids = split.input_ids[split.offsets[sentence] : split.offsets[sentence + 1]].tolist()
        logits_TC = model(input_ids=model.dummy_inputs["input_ids"].new_tensor([ids])).logits[0]
        probability_W, label_W = logits_TC.softmax(-1)[places].max(-1)
        words = slice(*split.word_bounds[sentence : sentence + 2])
        assert predictions.predicted_W[words].tolist() == label_W.tolist()
        assert predictions.probability_W[words].tolist() == pytest.approx(probability_W.tolist(), abs=1e-5)


def test_predict_accepts_sentences_without_words() -> None:
    split = encoded([([2, 3], [IGNORED] * 2), ([2, 7, 3], [IGNORED, 1, IGNORED]), ([2, 3], [IGNORED] * 2)])
    for size in (1, 100):
        predictions = predict(random_model(), split, COMPUTE["fp32"], batch_tokens=size, temperature=1.0)
        assert len(predictions.predicted_W) == 1
        assert predictions.gold_W.tolist() == [1]


@pytest.mark.parametrize("owners", [0, 2])
def test_predict_refuses_a_word_that_not_exactly_one_window_owns(demo_split: EncodedSplit, owners: int) -> None:
    labels, word_index = demo_split.labels.copy(), demo_split.word_index.copy()
    owned = np.flatnonzero(word_index != NO_WORD)
    if owners:
        word_index[owned[5]] = word_index[owned[4]]  # and none owns its former word
    else:
        labels[owned[5]], word_index[owned[5]] = IGNORED, NO_WORD
    broken = replace(demo_split, labels=labels, word_index=word_index)
    shown = " ".join(demo_split.words[0].as_py()[:8])
    word = 6 - owners // 2
    message = rf"^sentence 1 \({re.escape(shown)} \.\.\.\): {owners} windows own its word {word} instead of one"
    with pytest.raises(ArtifactError, match=message):
        predict(random_model(vocab_size=1000), broken, COMPUTE["fp32"], batch_tokens=4096, temperature=1.0)
