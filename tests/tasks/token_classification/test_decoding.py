"""Tags are the best valid sequence: that of a search through all, with equal scores resolved by the first label."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
import torchcrf
from hypothesis import given
from hypothesis import strategies as st

from stages.encoding.files import EncodedSplit
from stages.modeling.classifier import add_crf, load_classifier
from stages.modeling.heads.crf import Potentials
from stages.tasks.token_classification.model import decoding
from stages.tasks.token_classification.model.decoding import constrain, iob2_potentials, label_marginals, viterbi
from stages.tasks.token_classification.model.inference import WordLogits, predict, predict_logits
from stages.tasks.token_classification.scores.entities import Tagging
from stages.tasks.token_classification.scores.metric import scores
from tests import oracles
from tests.modeling.conftest import COMPUTE, LABELS

TAGS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
SENTENCES = st.lists(  # of logits, of few values, so that many sequences have equal sums
    st.lists(st.lists(st.integers(0, 2), min_size=len(TAGS), max_size=len(TAGS)), max_size=4), max_size=5
)
WEIGHTS = st.one_of(st.none(), st.integers(0, 2**32 - 1))  # None: those of a linear head


def random_potentials(seed: int | None, *, tags: tuple[str, ...] = TAGS) -> Potentials:
    """Those of IOB2, with whole numbers in place of 0 if there is a seed."""
    allowed, generator = iob2_potentials(tags), np.random.default_rng(seed)
    if seed is None:
        return allowed
    return allowed.map(lambda values: values + torch.from_numpy(generator.integers(-2, 3, values.shape)))


def is_valid(tags: tuple[str, ...]) -> bool:
    """Whether all that the tags mark as inside is an entity that opens with B-."""
    return oracles.tags_of(oracles.entities(tags, strict=True), len(tags)) == list(tags)


def search(logits_TC: np.ndarray, potentials: Potentials) -> tuple[int, ...]:
    """The best of all valid sequences, the first of equal ones."""
    start_C, transitions_CC, end_C = (
        values.tolist() for values in (potentials.start_C, potentials.transitions_CC, potentials.end_C)
    )

    def score(path: tuple[int, ...]) -> float:
        of_words = sum(logits_TC[word, label] for word, label in enumerate(path))
        of_pairs = sum(transitions_CC[before][label] for before, label in itertools.pairwise(path))
        return of_words + of_pairs + start_C[path[0]] + end_C[path[-1]]

    paths = itertools.product(range(len(TAGS)), repeat=len(logits_TC))
    return max((path for path in paths if is_valid(tuple(TAGS[label] for label in path))), key=score)


@given(SENTENCES, WEIGHTS)
def test_decoding_finds_what_a_search_through_all_valid_sequences_finds(
    sentences: list[list[list[int]]], seed: int | None
) -> None:
    potentials = random_potentials(seed)
    logits_WC = np.array([word for sentence in sentences for word in sentence], np.float32).reshape(-1, len(TAGS))
    bounds = np.cumsum([0, *map(len, sentences)])
    expected = [
        label for sentence in sentences if sentence for label in search(np.array(sentence, np.float32), potentials)
    ]
    assert viterbi(logits_WC, bounds, potentials).tolist() == expected
    if seed is None:
        assert constrain(logits_WC, bounds, potentials).tolist() == expected


@pytest.mark.parametrize("cells", [1, decoding.CELLS])
def test_long_sentences_have_the_path_and_the_probabilities_of_pytorch_crf(
    monkeypatch: pytest.MonkeyPatch, cells: int
) -> None:
    monkeypatch.setattr(decoding, "CELLS", cells)
    generator = torch.Generator().manual_seed(3)
    lengths = [90, 3, 0, 41, 1, 90]
    bounds = np.cumsum([0, *lengths])
    logits_WC = torch.randn(int(bounds[-1]), len(LABELS), generator=generator)
    oracle = torchcrf.CRF(len(LABELS))
    for parameter in oracle.parameters():
        torch.nn.init.normal_(parameter, generator=generator)
    oracle.requires_grad_(requires_grad=False)
    potentials = Potentials(oracle.start_transitions, oracle.transitions, oracle.end_transitions)
    label_W = viterbi(logits_WC.numpy(), bounds, potentials)
    probability_W = label_marginals(logits_WC.numpy(), bounds, potentials, label_W)
    for first, after in itertools.pairwise(bounds.tolist()):
        if after > first:
            emissions_TSC = logits_WC[first:after, None].clone().requires_grad_()
            mask_TS = torch.ones(after - first, 1, dtype=torch.bool)  # its own is of uint8, which torch warns of
            (path,) = oracle.decode(emissions_TSC, mask_TS)
            assert label_W[first:after].tolist() == path
            # The likelihood of a sequence falls by 1 less its marginals as the logits of its labels grow.
            log_likelihood = oracle(emissions_TSC, torch.tensor(path)[:, None], mask_TS)
            (gradient_TSC,) = torch.autograd.grad(log_likelihood, emissions_TSC)
            marginal_T = 1 - gradient_TSC[range(len(path)), 0, path]
            np.testing.assert_allclose(probability_W[first:after], marginal_T, atol=1e-4)


@pytest.mark.parametrize("with_crf", [False, True])
def test_no_predicted_sequence_is_invalid_at_the_seams_of_windows_either(
    tiny_pretrained: Path, demo_split: EncodedSplit, *, with_crf: bool
) -> None:
    torch.manual_seed(0)
    model = load_classifier(tiny_pretrained, labels=LABELS)
    torch.nn.init.normal_(model.classifier.weight)
    if with_crf:
        for parameter in add_crf(model).parameters():
            torch.nn.init.normal_(parameter)
    found = predict_logits(model, demo_split, COMPUTE["fp32"], batch_tokens=400)
    plain, gold, predicted = (
        Tagging(ids_W, demo_split.word_bounds, tuple(LABELS))
        for ids_W in (found.logits_WC.argmax(1), found.gold_W, found.predicted_W)
    )
    assert sum(map(is_valid, sentences_of(plain))) < len(demo_split.words) / 2
    assert all(map(is_valid, sentences_of(predicted)))
    assert all(map(is_valid, sentences_of(gold)))
    tables = scores(gold, predicted)
    assert all(
        tables["entity_strict"][name] == tables["entity_conlleval"][name] | bounds_of(tables["entity_strict"][name])
        for name in ("micro", "macro", "weighted")
    )


def sentences_of(tagging: Tagging) -> list[tuple[str, ...]]:
    """The tags of each sentence."""
    return [tuple(tagging.tags_W[first:after].tolist()) for first, after in itertools.pairwise(tagging.bounds)]


def bounds_of(row: dict[str, float]) -> dict[str, float]:
    """The interval of a row, which the other table has not."""
    return {name: value for name, value in row.items() if name in ("f1_low", "f1_high")}


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_probability_of_a_tag_is_its_softmax_or_with_a_crf_its_marginal(temperature: float) -> None:
    generator = np.random.default_rng(0)
    bounds = np.array([0, 3, 3, 8])
    logits_WC = generator.normal(size=(8, len(TAGS))).astype(np.float32)
    linear, crf = (
        WordLogits(np.zeros(8, np.int64), logits_WC, bounds, random_potentials(seed), has_crf=seed is not None)
        for seed in (None, 1)
    )
    softmax_WC = torch.from_numpy(logits_WC / temperature).softmax(1).numpy()
    np.testing.assert_allclose(linear.probability_W(temperature), softmax_WC[range(8), linear.predicted_W], rtol=1e-5)
    scaled = crf.potentials.map(lambda values: values / temperature)
    expected_W = label_marginals(logits_WC / temperature, bounds, scaled, crf.predicted_W)
    np.testing.assert_allclose(crf.probability_W(temperature), expected_W, rtol=1e-5)
    assert (viterbi(logits_WC / temperature, bounds, scaled) == crf.predicted_W).all()


def test_a_crf_that_has_learnt_nothing_predicts_what_the_linear_head_does(
    tiny_pretrained: Path, demo_split: EncodedSplit
) -> None:
    model = load_classifier(tiny_pretrained, labels=LABELS)
    linear = predict(model, demo_split, COMPUTE["fp32"], batch_tokens=400, temperature=1.0)
    add_crf(model)
    crf = predict(model, demo_split, COMPUTE["fp32"], batch_tokens=400, temperature=1.0)
    assert (crf.predicted_W == linear.predicted_W).all()
