from pathlib import Path

import numpy as np
import pytest

from stages.encoding.files import IGNORED, NO_WORD, EncodedSplit
from stages.modeling.classifier import labels_of, load_classifier
from stages.modeling.prediction import predict
from tests.modeling.conftest import COMPUTE, LABELS, demo_block, encoded, random_model


def test_predict_gives_each_word_its_own_label_whatever_the_batches(
    tiny_pretrained: Path, demo_split: EncodedSplit
) -> None:
    model = load_classifier(tiny_pretrained, labels=LABELS)
    assert labels_of(model) == LABELS
    large, small, single = (
        predict(model, demo_split, COMPUTE["fp32"], batch_subwords=size) for size in (100_000, 64, 1)
    )
    gold = [[LABELS.index(tag) for tag in s.tags] for s in demo_block().sentences()]
    assert len(demo_split.lengths) > len(gold)  # some sentences are longer than a window here
    assert [ids.tolist() for ids in large.gold] == gold
    for other in (small, single):
        assert [ids.tolist() for ids in large.predicted] == [ids.tolist() for ids in other.predicted]
        np.testing.assert_allclose(np.concatenate(large.probability), np.concatenate(other.probability), atol=1e-5)


def test_predict_gives_the_labels_that_the_model_finds_for_the_words() -> None:
    split = encoded([([2, 7, 8, 3], [IGNORED, 0, IGNORED, IGNORED]), ([2, 9, 10, 11, 3], [IGNORED, 0, 0, 0, IGNORED])])
    model = random_model()
    predictions = predict(model, split, COMPUTE["fp32"], batch_subwords=100)
    for sentence, places in enumerate(([1], [1, 2, 3])):
        ids = split.input_ids[split.offsets[sentence] : split.offsets[sentence + 1]].tolist()
        logits_TC = model(input_ids=model.dummy_inputs["input_ids"].new_tensor([ids])).logits[0]
        probability_W, label_W = logits_TC.softmax(-1)[places].max(-1)
        assert predictions.predicted[sentence].tolist() == label_W.tolist()
        assert predictions.probability[sentence].tolist() == pytest.approx(probability_W.tolist(), abs=1e-5)


def test_predict_takes_sentences_without_words() -> None:
    split = encoded([([2, 3], [IGNORED] * 2), ([2, 7, 3], [IGNORED, 1, IGNORED]), ([2, 3], [IGNORED] * 2)])
    for size in (1, 100):
        predictions = predict(random_model(), split, COMPUTE["fp32"], batch_subwords=size)
        assert [len(labels) for labels in predictions.predicted] == [0, 1, 0]
        assert predictions.gold[1].tolist() == [1]


@pytest.mark.parametrize("owners", [0, 2])
def test_predict_refuses_a_word_that_not_exactly_one_window_owns(demo_split: EncodedSplit, owners: int) -> None:
    labels, word_index = demo_split.labels.copy(), demo_split.word_index.copy()
    owned = np.flatnonzero(word_index != NO_WORD)
    if owners:
        word_index[owned[5]] = word_index[owned[4]]  # and none owns the one it was
    else:
        labels[owned[5]], word_index[owned[5]] = IGNORED, NO_WORD
    split = demo_split
    broken = EncodedSplit(split.offsets, split.input_ids, labels, word_index, split.sentence, split.words)
    with pytest.raises(AssertionError, match=rf"{max(1, owners)} words have no prediction or more than one"):
        predict(random_model(vocab_size=1000), broken, COMPUTE["fp32"], batch_subwords=4096)
