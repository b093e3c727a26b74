"""The best tag sequences that IOB2 allows, by the algorithm of Viterbi, for many sentences at a time.

Shape legend: W words, one sentence after another; S sentences, longest first; C labels.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch

from stages.modeling.heads.crf import NONE, Chains, Potentials, lay_out, marginals

CELLS = 1 << 21  # scores of pairs of labels in a block of sentences, 16 MB: those of one position stay in the cache

Numbers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


def iob2_potentials(labels: Sequence[str]) -> Potentials:
    """0 for what IOB2 allows, else -inf: I- comes only after B- or I- of the same type, never first."""
    inside_C = torch.tensor([label.startswith("I-") for label in labels])
    continues_CC = torch.tensor([[label[2:] == before[2:] != "" for label in labels] for before in labels])
    forbidden_CC = inside_C & ~continues_CC
    zeros = torch.zeros(forbidden_CC.shape)
    return Potentials(
        start_C=zeros[0].masked_fill(inside_C, -torch.inf),
        transitions_CC=zeros.masked_fill(forbidden_CC, -torch.inf),
        end_C=zeros[0],
    )


def constrain(logits_WC: npt.NDArray[np.floating], bounds: Numbers, allowed: Potentials) -> Numbers:
    """[W] the labels with the greatest sum of logits, where `allowed` has 0 or -inf; of equal ones as in `viterbi`.

    `bounds` [S + 1] is the first word of each sentence and the number of words. Most sentences need no search: if their
    greatest logits are an allowed sequence, there is no better one.
    """
    label_W: Numbers = logits_WC.argmax(axis=1)
    start_C, transitions_CC, _ = _arrays(allowed)
    score_W = np.zeros(len(label_W))
    score_W[1:] = transitions_CC[label_W[:-1], label_W[1:]]
    lengths = np.diff(bounds)
    first_S = bounds[:-1][lengths > 0]
    score_W[first_S] = start_C[label_W[first_S]]
    invalid_S = np.diff(np.append(0, np.cumsum(score_W == -np.inf))[bounds]) > 0
    chosen_W = np.repeat(invalid_S, lengths)
    label_W[chosen_W] = viterbi(logits_WC[chosen_W], np.append(0, np.cumsum(lengths[invalid_S])), allowed)
    return label_W


def viterbi(logits_WC: npt.NDArray[np.floating], bounds: Numbers, potentials: Potentials) -> Numbers:
    """[W] the labels of the best sequence of each sentence; of equal ones that with the first label where they differ.

    Sums are in fp64, which holds those of fp32 logits exactly but for very long sentences.
    """
    label_W = np.empty(len(logits_WC), dtype=np.int64)
    for block_S in _blocks(bounds, labels=logits_WC.shape[1]):
        _decode_block(logits_WC, bounds[block_S], np.diff(bounds)[block_S], _arrays(potentials), label_W)
    return label_W


def label_marginals(
    logits_WC: npt.NDArray[np.floating], bounds: Numbers, potentials: Potentials, label_W: Numbers
) -> npt.NDArray[np.float32]:
    """[W] the probability of each word's label: the share of all sequences of its sentence that have it there."""
    probability_W = np.empty(len(logits_WC), dtype=np.float32)
    logits = torch.from_numpy(logits_WC).double()
    for block_S in _blocks(bounds, labels=logits_WC.shape[1]):
        place_TS = lay_out(bounds[block_S], np.diff(bounds)[block_S])
        always_S = torch.ones(len(block_S), dtype=torch.bool)
        chains = Chains(torch.from_numpy(place_TS), always_S, always_S)
        marginals_TSC = marginals(logits, chains, potentials.map(torch.Tensor.double)).numpy()
        steps, sentences = np.nonzero(place_TS != NONE)
        words = place_TS[steps, sentences]
        probability_W[words] = marginals_TSC[steps, sentences, label_W[words]]
    return probability_W


def _blocks(bounds: Numbers, *, labels: int) -> Iterator[Numbers]:
    """The numbers of the sentences that have words, longest first, as many at a time as CELLS allows, at least one."""
    lengths = np.diff(bounds)
    order = np.argsort(-lengths, kind="stable")[: np.count_nonzero(lengths)]
    while len(order):
        size = max(1, CELLS // (int(lengths[order[0]]) * labels**2))
        yield order[:size]
        order = order[size:]


def _decode_block(
    logits_WC: npt.NDArray[np.floating],
    first_S: Numbers,
    length_S: Numbers,
    potentials: tuple[Floats, Floats, Floats],
    label_W: Numbers,
) -> None:
    """Write the labels of sentences, longest first, into `label_W`: one position of all of them at a time."""
    start_C, transitions_CC, end_C = potentials
    words = [first_S[: np.count_nonzero(length_S > step)] + step for step in range(length_S[0])]
    rests: list[Floats] = []  # [C, S] for each position, last one first: the best score from a label there to the end
    for word_S in reversed(words):
        rest_CS = logits_WC[word_S].T.astype(np.float64)
        following_CS = rests[-1] if rests else np.empty((len(end_C), 0))
        count = following_CS.shape[1]
        rest_CS[:, :count] += (transitions_CC[:, :, None] + following_CS).max(axis=1)
        rest_CS[:, count:] += end_C[:, None]
        rests.append(rest_CS)
    score_CS = start_C[:, None] + rests.pop()
    for word_S in words:
        label_S = score_CS.argmax(axis=0)
        label_W[word_S] = label_S
        if rests:
            rest_CS = rests.pop()
            score_CS = transitions_CC[label_S[: rest_CS.shape[1]]].T + rest_CS


def _arrays(potentials: Potentials) -> tuple[Floats, Floats, Floats]:
    start_C, transitions_CC, end_C = (
        values.numpy().astype(np.float64)
        for values in (potentials.start_C, potentials.transitions_CC, potentials.end_C)
    )
    return start_C, transitions_CC, end_C
