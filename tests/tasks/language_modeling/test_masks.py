"""Masks of whole words: how many, which, and what they depend on."""

from pathlib import Path

import numpy as np
import pytest

from stages.encoding.texts import read_texts
from stages.tasks.language_modeling.model.masks import BEGIN, SPECIAL, Masking, mask_window
from stages.tasks.language_modeling.model.split import MaskedTexts, mask_in_training, mask_texts
from tests.tasks.language_modeling.windows import encode, write_documents

MASK, VOCABULARY = 4, 1000
MASKING = Masking(0.15, MASK, VOCABULARY)
IDS = np.arange(100, 120, dtype=np.int32)
MARKS = np.array([SPECIAL, *[BEGIN, 2, BEGIN] * 6, SPECIAL], np.int32)  # words of two tokens and of one


@pytest.mark.parametrize("share", [0.01, 0.15, 0.5])
def test_whole_words_are_masked_and_no_special_token(share: float) -> None:
    for seed in range(50):
        found = mask_window(IDS, MARKS, Masking(share, MASK, VOCABULARY), (seed, 1))
        assert abs(len(found.places_L) - share * 18) <= 1 or len(found.places_L) == 1
        assert found.gold_L.tolist() == IDS[found.places_L].tolist()
        for place in found.places_L:
            assert MARKS[place] != SPECIAL
            assert MARKS[place] == BEGIN or place - 1 in found.places_L
            assert MARKS[place + 1] != 2 or place + 1 in found.places_L
        others = np.setdiff1d(np.arange(20), found.places_L)
        assert found.ids_T[others].tolist() == IDS[others].tolist()


def test_of_the_chosen_tokens_80_percent_are_masked_and_10_replaced() -> None:
    shares = np.zeros(3)
    for seed in range(1500):
        found = mask_window(IDS, MARKS, MASKING, (seed, 1))
        read_L = found.ids_T[found.places_L]
        masked, kept = (read_L == MASK).sum(), (read_L == found.gold_L).sum()
        shares += [masked, kept, len(read_L) - masked - kept]
    assert shares / shares.sum() == pytest.approx([0.8, 0.1, 0.1], abs=0.015)
    assert shares.sum() / (1500 * 18) == pytest.approx(0.15, abs=0.02)


def test_a_word_longer_than_the_share_is_masked_if_there_is_no_other() -> None:
    marks = np.array([SPECIAL, BEGIN, *[2] * 7, SPECIAL], np.int32)
    assert mask_window(IDS[:10], marks, MASKING, (1, 1)).places_L.tolist() == list(range(1, 9))


@pytest.fixture(scope="module")
def encoded(tmp_path_factory: pytest.TempPathFactory, tiny_pretrained: Path) -> Path:
    folder = tmp_path_factory.mktemp("masks")
    write_documents(folder / "raw")
    encode(folder / "raw", tiny_pretrained, folder / "encoded")
    return folder / "encoded"


def masks_of(split: MaskedTexts, rows: list[int]) -> list[list[int]]:
    return [split.read(row).places_L.tolist() for row in rows]


def test_masks_of_training_follow_from_seed_and_step_alone(encoded: Path) -> None:
    split, rows = mask_in_training(read_texts(encoded, "train"), MASKING), [3, 1, 2]
    first = masks_of(split.at_step(1, 5), rows)
    assert first == masks_of(split.at_step(1, 5), rows)
    assert first[1:] == masks_of(split.at_step(1, 5), rows[1:])  # whatever else is in the batch
    assert first != masks_of(split.at_step(1, 6), rows)
    assert first != masks_of(split.at_step(2, 5), rows)


def test_masks_of_dev_are_the_same_at_each_look_and_for_each_seed(encoded: Path) -> None:
    one, other = (mask_texts(read_texts(encoded, "dev"), MASKING) for _ in range(2))
    assert masks_of(one, [0, 1, 2]) == masks_of(other, [2, 1, 0])[::-1]
    assert not hasattr(one, "at_step")
