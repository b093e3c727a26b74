"""Vectors of texts by the pretrained encoder before any fine-tuning, for the baseline that shows what that brings.

A vector is the mean of the final hidden states of a text, scaled to length 1. A pair has the vectors of both texts,
each read alone, their distance and their product (Conneau et al., 2017). The vectors of the windows of a text are
averaged as logits are, and so are those of both orders of a symmetric pair.

Shape legend: R rows of texts, E examples, M of them to fit on, N tokens, F numbers of a vector.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from transformers import PreTrainedModel

from stages.encoding.texts import NO_SECOND, EncodedTexts, read_texts
from stages.errors import PretrainedError
from stages.modeling.batches import token_indices
from stages.modeling.classifier import load_classifier
from stages.modeling.device import Compute, move_to
from stages.modeling.inference import each_batch
from stages.modeling.pretrained import find_pretrained
from stages.modeling.text_split import TextSplit
from stages.statistics.measure import Numbers
from stages.statistics.tfidf import MAX_TRAIN, choose_evenly
from stages.training.evaluation import Evaluation

MAX_TRAIN_TOKENS = 500_000  # of the texts to fit on; some 50 s on two cores
MAX_TOKENS = 1_000_000  # of all splits to predict; with more there is no such baseline
MAX_PRODUCTS = 4_000_000_000  # texts to fit on by numbers of a vector by outputs; some 25 s of logistic regression
PAIR_VECTORS = 4

Float32s = npt.NDArray[np.float32]


@dataclass(frozen=True)
class FrozenVectors:
    """Vectors of some texts of train, evenly spaced, and of all texts of other splits."""

    train_MF: Float32s
    chosen_M: Numbers  # the numbers of these texts of train
    splits: dict[str, Float32s]  # by name: [E, F]
    seconds: float  # that it took


def embed_splits(evaluation: Evaluation, splits: Sequence[str]) -> FrozenVectors | str:
    """Vectors of train and of `splits`, or why there are none: they would take minutes.

    PretrainedError if the encoder that the model was trained from is no longer there.
    """
    started = time.perf_counter()
    train, own = (read_texts(evaluation.encoded, "train"), {s: read_texts(evaluation.encoded, s) for s in splits})
    tokens = sum(len(texts.input_ids) for texts in own.values())
    if tokens > MAX_TOKENS:
        return f"{tokens:,} tokens of {' and '.join(splits)} are more than {MAX_TOKENS:,}"
    labels = evaluation.manifest.labels
    model = load_encoder(_find_encoder(evaluation), labels, evaluation.compute)

    def embed(texts: EncodedTexts, chosen: Numbers) -> Float32s:
        return embed_texts(model, texts, evaluation.compute, chosen, batch_tokens=evaluation.batch_tokens)

    width = model.config.hidden_size * (1 if train.pairs is None else PAIR_VECTORS)
    chosen_M = choose_texts(train, products=width * len(labels))
    return FrozenVectors(
        train_MF=embed(train, chosen_M),
        chosen_M=chosen_M,
        splits={split: embed(texts, np.arange(len(texts.first_rows))) for split, texts in own.items()},
        seconds=time.perf_counter() - started,
    )


def _find_encoder(evaluation: Evaluation) -> Path:
    try:
        return find_pretrained(**evaluation.record.encoder)
    except PretrainedError as error:
        raise PretrainedError(
            f"{error} It is the encoder that this model was trained from, and evaluate scores it without fine-tuning. "
            "Bring it back, or train again: tuneline run --stage train"
        ) from None


def choose_texts(train: EncodedTexts, *, products: int) -> Numbers:
    """The numbers of as many texts, evenly spaced, as can be fitted in seconds; `products` is what each takes."""
    count, tokens = len(train.first_rows), len(train.input_ids)
    by_tokens = count * MAX_TRAIN_TOKENS // max(1, tokens)
    return choose_evenly(count, min(MAX_TRAIN, max(1, by_tokens), max(1, MAX_PRODUCTS // products)))


def load_encoder(folder: Path, labels: list[str], compute: Compute) -> PreTrainedModel:
    """The encoder as a model whose logits are its final hidden states; `labels` are those that it was trained for."""
    model = load_classifier(folder, labels=labels)  # as train loads it, since a folder may hold a head of this size
    for name, module in list(model.named_children()):
        if name != model.base_model_prefix and not isinstance(module, torch.nn.Dropout):
            setattr(model, name, torch.nn.Identity())
    move_to(model, compute)
    return model


def embed_texts(
    model: PreTrainedModel, texts: EncodedTexts, compute: Compute, chosen_M: Numbers, *, batch_tokens: int
) -> Float32s:
    """[M, F] the vectors of the texts with these numbers, in ascending order."""
    is_chosen_E = np.zeros(len(texts.first_rows), bool)
    is_chosen_E[chosen_M] = True
    rows = np.flatnonzero(is_chosen_E[texts.example])
    vectors = [_embed_rows(model, alone, compute, batch_tokens=batch_tokens) for alone in _read_alone(texts, rows)]
    if len(vectors) == 1:
        vectors_RF = vectors[0]
    else:
        first, second = vectors
        vectors_RF = np.hstack([first, second, abs(first - second), first * second])
    weighted_RF = vectors_RF * texts.weight[rows][:, None]
    starts = np.flatnonzero(texts.window[rows] == 0)
    return np.add.reduceat(weighted_RF, starts) if len(starts) else weighted_RF


def _read_alone(texts: EncodedTexts, rows: Numbers) -> list[EncodedTexts]:
    """These rows as texts without a second one: of pairs once the first texts and once the second ones.

    A second text has the first token of its row, which starts every text, in front of it.
    """
    position_N, index_N = token_indices(TextSplit(texts, "mean", rows), rows)
    ids_N, lengths, second = texts.input_ids[index_N], texts.lengths[rows], texts.second[rows]
    if (second == NO_SECOND).all():
        return [_replace_tokens(texts, rows, ids_N, lengths)]
    is_second_N = position_N >= np.repeat(second, lengths)
    return [
        _replace_tokens(texts, rows, ids_N[~is_second_N], second),
        _replace_tokens(texts, rows, ids_N[is_second_N | (position_N == 0)], lengths - second + 1),
    ]


def _replace_tokens(
    texts: EncodedTexts, rows: Numbers, input_ids: npt.NDArray[np.int32], lengths: npt.NDArray[np.int32]
) -> EncodedTexts:
    return replace(
        texts,
        offsets=np.append(0, np.cumsum(lengths)).astype(np.int32),
        input_ids=input_ids,
        second=np.full(len(rows), NO_SECOND, np.int32),
        example=texts.example[rows],
        window=texts.window[rows],
        weight=texts.weight[rows],
        answers=None,
    )


def _embed_rows(model: PreTrainedModel, texts: EncodedTexts, compute: Compute, *, batch_tokens: int) -> Float32s:
    """[R, F] the mean of the final hidden states of each row, scaled to length 1."""
    split = TextSplit(texts, "mean", np.zeros(len(texts.weight), np.int64))
    vectors_RF = np.zeros((len(texts.weight), model.config.hidden_size), np.float32)
    for rows, hidden_OF in each_batch(model, split, compute, batch_tokens=batch_tokens):
        vectors_RF[rows] = hidden_OF
    lengths_R = np.sqrt(np.einsum("rf,rf->r", vectors_RF, vectors_RF))
    vectors_RF /= np.where(lengths_R > 0, lengths_R, 1)[:, None]
    return vectors_RF
