"""The CRF is that of its definition, sums over all label sequences, and that of pytorch-crf on long chains."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
import torchcrf
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForTokenClassification

from stages.errors import PretrainedError
from stages.modeling.classifier import add_crf, crf_of, drop_crf, load_classifier
from stages.modeling.device import move_to
from stages.modeling.heads.crf import NONE, Chains, Potentials, lay_out, marginals, negative_log_likelihood
from tests.modeling.conftest import COMPUTE, LABELS

CASES = st.tuples(
    st.lists(st.integers(1, 4), min_size=1, max_size=4),  # lengths of chains
    st.integers(2, 3),  # labels
    st.integers(0, 2**32 - 1),  # seed
)


class Case:
    """Chains of random logits and labels, outputs between them that are in none, and some transitions forbidden."""

    def __init__(self, lengths: list[int], labels: int, seed: int, dtype: torch.dtype = torch.float64) -> None:
        generator = np.random.default_rng(seed)
        length_S = np.array(lengths)
        first_S = np.cumsum(length_S + 1) - length_S
        outputs = int(first_S[-1] + length_S[-1] + 2)
        allowed_CC = generator.random((labels, labels)) < 0.7
        allowed_CC[:, 0] = allowed_CC[0] = True
        scores = [generator.normal(size=shape) for shape in ((outputs, labels), labels, (labels, labels), labels)]
        self.leaves = [torch.tensor(values, dtype=dtype).requires_grad_() for values in scores]
        self.logits_OC, self.start_C, self.transitions_CC, self.end_C = self.leaves
        self.forbidden_CC = torch.from_numpy(~allowed_CC)
        self.label_O = torch.full((outputs,), -100)
        for first, length in zip(first_S.tolist(), lengths, strict=True):
            self.label_O[first] = int(generator.integers(labels))
            for output in range(first + 1, first + length):
                self.label_O[output] = int(generator.choice(np.flatnonzero(allowed_CC[self.label_O[output - 1]])))
        starts_S, ends_S = (torch.from_numpy(generator.random(len(lengths)) < 0.5) for _ in range(2))
        self.chains = Chains(torch.from_numpy(lay_out(first_S, length_S)), starts_S, ends_S)
        self.spans = list(zip(first_S.tolist(), (first_S + length_S).tolist(), strict=True))

    @property
    def potentials(self) -> Potentials:
        transitions_CC = self.transitions_CC.masked_fill(self.forbidden_CC, -torch.inf)
        return Potentials(self.start_C, transitions_CC, self.end_C)

    def score(self, chain: int, labels: tuple[int, ...]) -> torch.Tensor:
        """The definition, term by term."""
        first, after = self.spans[chain]
        score = sum(self.logits_OC[output, label] for output, label in zip(range(first, after), labels, strict=True))
        score += sum(self.potentials.transitions_CC[pair] for pair in itertools.pairwise(labels))
        score += self.start_C[labels[0]] * self.chains.starts_S[chain]
        return score + self.end_C[labels[-1]] * self.chains.ends_S[chain]

    def log_probabilities(self, chain: int) -> dict[tuple[int, ...], torch.Tensor]:
        """Of all label sequences of a chain that are possible."""
        first, after = self.spans[chain]
        scores = {
            path: self.score(chain, path) for path in itertools.product(range(len(self.start_C)), repeat=after - first)
        }
        total = torch.logsumexp(torch.stack(list(scores.values())), 0)
        return {path: score - total for path, score in scores.items() if score.isfinite()}


@settings(max_examples=50)
@given(CASES)
def test_likelihood_and_gradients_are_those_of_the_sum_over_all_sequences(given: tuple[list[int], int, int]) -> None:
    case = Case(*given)
    loss = negative_log_likelihood(case.logits_OC, case.label_O, case.chains, case.potentials)
    expected = -sum(
        case.log_probabilities(chain)[tuple(case.label_O[first:after].tolist())]
        for chain, (first, after) in enumerate(case.spans)
    )
    torch.testing.assert_close(loss, expected)
    found, wanted = (torch.autograd.grad(2 * each, case.leaves, allow_unused=True) for each in (loss, expected))
    for ours, theirs, leaf in zip(found, wanted, case.leaves, strict=True):
        torch.testing.assert_close(ours, torch.zeros_like(leaf) if theirs is None else theirs.nan_to_num())
    assert not found[2][case.forbidden_CC].any()


@settings(max_examples=50)
@given(CASES)
def test_marginals_are_the_shares_of_all_sequences(given: tuple[list[int], int, int]) -> None:
    case = Case(*given)
    potentials = case.potentials.map(torch.Tensor.detach)
    found_TSC = marginals(case.logits_OC.detach(), case.chains, potentials)
    expected_TSC = torch.zeros_like(found_TSC)
    for chain in range(len(case.spans)):
        for path, log_probability in case.log_probabilities(chain).items():
            for step, label in enumerate(path):
                expected_TSC[step, chain, label] += log_probability.exp().detach()
    torch.testing.assert_close(found_TSC, expected_TSC)
    assert not found_TSC[case.chains.place_TS == NONE].any()


@pytest.mark.parametrize("spread", [1.0, 50.0])
def test_loss_and_gradients_of_long_chains_are_those_of_pytorch_crf(spread: float) -> None:
    """Ours in fp32, theirs in fp64: scores are in the thousands, whose differences decide."""
    lengths = np.random.default_rng(0).integers(1, 200, 30).tolist()
    case, exact = (Case(lengths, 13, 1, dtype) for dtype in (torch.float32, torch.float64))
    logits_OC = spread * case.logits_OC.detach()
    for each in (case, exact):
        each.forbidden_CC[:] = False
        each.chains.starts_S[:] = each.chains.ends_S[:] = True
        with torch.no_grad():
            each.logits_OC.copy_(logits_OC)
    oracle = torchcrf.CRF(13).double()
    theirs = [oracle.start_transitions, oracle.transitions, oracle.end_transitions]
    for potential, ours in zip(theirs, case.leaves[1:], strict=True):
        potential.data.copy_(ours)
    place_TS, mask_TS = case.chains.place_TS.clamp(min=0), case.chains.place_TS != NONE
    expected = -oracle(exact.logits_OC[place_TS], case.label_O[place_TS].clamp(min=0), mask_TS, reduction="sum")
    loss = negative_log_likelihood(case.logits_OC, case.label_O, case.chains, case.potentials)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    wanted = torch.autograd.grad(expected, [exact.logits_OC, *theirs])
    for found, gradient in zip(torch.autograd.grad(loss, case.leaves), wanted, strict=True):
        torch.testing.assert_close(found.double(), gradient, rtol=1e-3, atol=1e-4)


def test_outputs_without_chains_have_no_loss() -> None:
    nowhere = np.zeros(0, np.int64)
    chains = Chains(torch.from_numpy(lay_out(nowhere, nowhere)), *torch.zeros(2, 0, dtype=torch.bool))
    case = Case([1], 3, 0)
    for count in (0, 4):
        logits_OC = torch.zeros(count, 3, dtype=torch.float64, requires_grad=True)
        loss = negative_log_likelihood(logits_OC, torch.full((count,), -100), chains, case.potentials)
        assert loss == 0
        loss.backward()
        assert not logits_OC.grad.any()


def test_crf_begins_without_effect_and_stays_in_fp32(tiny_pretrained: Path) -> None:
    model = load_classifier(tiny_pretrained, labels=LABELS)
    crf = add_crf(model)
    assert not any(values.any() for values in crf.parameters())
    torch.nn.init.normal_(crf.transitions)
    before = crf.transitions.detach().clone()
    move_to(model, COMPUTE["bf16"])
    assert model.classifier.weight.dtype == torch.bfloat16
    assert crf.transitions.dtype == torch.float32
    assert torch.equal(crf.transitions, before)


def test_crf_is_saved_with_its_model_and_plain_transformers_leaves_it_out(
    tiny_pretrained: Path, tmp_path: Path
) -> None:
    model = load_classifier(tiny_pretrained, labels=LABELS)
    for parameter in add_crf(model).parameters():
        torch.nn.init.normal_(parameter)
    model.save_pretrained(tmp_path)
    found, plain = load_classifier(tmp_path), AutoModelForTokenClassification.from_pretrained(tmp_path)
    ids = torch.tensor([[2, 7, 9, 3]])
    for loaded in (found, plain):
        torch.testing.assert_close(loaded.eval()(ids).logits, model.eval()(ids).logits)
    assert crf_of(plain) is None
    for name, values in crf_of(model).state_dict().items():
        assert torch.equal(crf_of(found).state_dict()[name], values)
    assert crf_of(load_classifier(tiny_pretrained, labels=LABELS)) is None


def test_a_model_that_goes_on_keeps_the_potentials_of_labels_that_it_still_has(
    tiny_pretrained: Path, tmp_path: Path
) -> None:
    model = load_classifier(tiny_pretrained, labels=["O", "B-LOC", "I-LOC", "B-PER"])
    for parameter in add_crf(model).parameters():
        torch.nn.init.normal_(parameter)
    model.save_pretrained(tmp_path)
    before, found = crf_of(model), load_classifier(tmp_path, labels=["O", "B-ORG", "I-LOC", "B-LOC"])
    crf = crf_of(found)
    assert crf.start.tolist() == [before.start[0], 0, before.start[2], before.start[1]]
    assert crf.end.tolist() == [before.end[0], 0, before.end[2], before.end[1]]
    assert crf.transitions[3].tolist() == [before.transitions[1, 0], 0, *before.transitions[1, [2, 1]]]
    assert crf.transitions[:, 1].tolist() == [0, 0, 0, 0]
    drop_crf(found)
    assert crf_of(found) is None
    assert not hasattr(found.config, "crf")


def test_a_model_without_the_crf_that_it_names_is_refused(tiny_pretrained: Path, tmp_path: Path) -> None:
    model = load_classifier(tiny_pretrained, labels=LABELS)
    model.config.update({"crf": True})
    model.save_pretrained(tmp_path)
    with pytest.raises(PretrainedError, match=r"cannot be loaded as a token classifier: (.|\n)*transitions"):
        load_classifier(tmp_path)
