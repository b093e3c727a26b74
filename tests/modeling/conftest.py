"""Small splits and tiny models for the tests of modeling and training."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from transformers import AutoConfig, AutoModelForTokenClassification, PreTrainedModel

from stages.corpus.readers.columns import Columns
from stages.corpus.readers.conll import read_conll
from stages.corpus.text.diagnostics import Diagnostics
from stages.corpus.text.schemes import TagReader, label_ids
from stages.corpus.text.sentences import NO_DOCUMENT, Block
from stages.encoding.files import IGNORED, NO_WORD, SCHEMA, EncodedSplit, read_split, split_of, split_writer
from stages.encoding.rows import Encoder
from stages.encoding.tokenizer import load_tokenizer
from stages.encoding.vocabulary import Vocabulary
from stages.modeling.device import Compute
from tests.checkouts import DEMO

LABELS = ["O", *(f"{prefix}-{kind}" for kind in ("LOC", "MISC", "ORG", "PER") for prefix in "BI")]
COMPUTE = {
    "fp32": Compute(torch.device("cpu"), torch.float32),
    "bf16": Compute(torch.device("cpu"), torch.bfloat16),
}
VOCABULARY = 40  # ids of `random_split` and of `random_model`; 0 to 3 are special


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    """A second thread gains nothing with such small tensors, and waits for minutes on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def encoded(rows: Sequence[tuple[list[int], list[int]]]) -> EncodedSplit:
    """A split with one sentence for each (input ids, labels), mapped as if read from a file."""
    table = []
    for sentence, (input_ids, labels) in enumerate(rows):
        numbers = iter(range(len(labels)))
        word_index = [NO_WORD if label == IGNORED else next(numbers) for label in labels]
        words = [f"w{sentence}.{number}" for number in range(max(word_index) + 1)]
        row = {"input_ids": input_ids, "labels": labels, "word_index": word_index, "sentences": [words]}
        table.append(row | {"sentence": sentence, "document": NO_DOCUMENT})
    return split_of(pa.Table.from_pylist(table, schema=SCHEMA))


def random_split(lengths: Sequence[int], *, labels: int = len(LABELS), seed: int = 0) -> EncodedSplit:
    """Rows of these lengths with random tokens; two thirds of them, except the first and the last, have a label.

    Ids above VOCABULARY // 2 do not occur.
    """
    generator = np.random.default_rng(seed)
    rows = []
    for length in lengths:
        input_ids = [2, *generator.integers(4, VOCABULARY // 2, length - 2).tolist(), 3]
        inner = np.where(generator.random(length - 2) < 2 / 3, generator.integers(labels, size=length - 2), IGNORED)
        rows.append((input_ids, [IGNORED, *inner.tolist(), IGNORED]))
    return encoded(rows)


def random_model(kind: str = "bert", *, labels: int = len(LABELS), seed: int = 0, **changes: object) -> PreTrainedModel:
    """A tiny token classifier of two layers with random biases and norms too, in evaluation mode."""
    sizes = {
        "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24,
        "max_position_embeddings": 40, "layer_norm_eps": 1e-2, "vocab_size": VOCABULARY, "num_labels": labels,
    }  # fmt: skip
    config = AutoConfig.for_model(kind, **(sizes | changes))
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(seed)
        model: PreTrainedModel = AutoModelForTokenClassification.from_config(config, attn_implementation="eager")
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.2)
    return model.eval()


def random(*shape: int, seed: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """A leaf of autograd with normally distributed values."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype).requires_grad_()


def flash_attention(
    query_NHK: torch.Tensor,
    key_NHK: torch.Tensor,
    value_NHK: torch.Tensor,
    starts_q: torch.Tensor,
    starts_k: torch.Tensor,
    longest_q: int,
    longest_k: int,
    *,
    dropout_p: float,
    is_causal: bool,
    return_debug_mask: bool,
    scale: float,
) -> tuple[torch.Tensor, ...]:
    """What torch.ops.aten._flash_attention_forward computes, row by row; as there, other tokens have no output."""
    assert starts_q is starts_k
    assert longest_q == longest_k >= starts_q.diff().max()
    assert (dropout_p, is_causal, return_debug_mask) == (0, False, False)
    rows = []
    for first, after in pairwise(starts_q.tolist()):
        query_HTK, key_HTK, value_HTK = (x[first:after].transpose(0, 1) for x in (query_NHK, key_NHK, value_NHK))
        rows.append((query_HTK @ key_HTK.mT * scale).softmax(-1) @ value_HTK)
    assert after == len(query_NHK)
    return torch.cat(rows, dim=1).transpose(0, 1).contiguous(), torch.zeros(0)


def demo_block() -> Block:
    """The first 120 sentences of the demo's train split."""
    with (DEMO / "train.conll").open("rb") as stream:
        return next(read_conll(DEMO / "train.conll", stream, Columns(), Diagnostics())).slice(0, 120)


@pytest.fixture(scope="session")
def demo_split(tiny_pretrained: Path, tmp_path_factory: pytest.TempPathFactory) -> EncodedSplit:
    """`demo_block` in windows so short that some sentences have several."""
    block = demo_block()
    reader = TagReader()
    labels = label_ids(reader.read(block), reader.types, reader.labels)
    assert reader.labels == LABELS
    encoder = Encoder(Vocabulary(load_tokenizer(tiny_pretrained)), length=32, overlap=8, context="sentence")
    folder = tmp_path_factory.mktemp("encoded")
    with split_writer(folder / "train.arrow") as writer:
        writer.write_batch(encoder.encode(block.words, labels).rows())
    return read_split(folder, "train")
