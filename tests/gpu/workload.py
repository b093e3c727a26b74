"""What the parts work on: models with random weights, splits with random tokens, and training runs of the engine.

Nothing is downloaded and no file is read, so that it runs where there is neither a network nor a wheel.
"""

import hashlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from transformers import AutoConfig, AutoModelForTokenClassification, PreTrainedModel

from stages.dynamics.recorder import Recorder
from stages.encoding.files import IGNORED, NO_WORD, EncodedSplit
from stages.modeling.device import Compute
from stages.modeling.head import Head, JudgingHead, Split
from stages.tasks.token_classification.model.head import TagHead
from stages.training.distributed import SINGLE_PROCESS, World
from stages.training.history import Step
from stages.training.loop import PendingStep, Settings, plan_batches, train
from stages.training.optimizer import MasterWeights

LABELS = 9  # as many as CoNLL-2003 has
FIRST_ID = 4  # lower ones stand for special tokens
DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}
PROFILES = ("short", "256", "512")  # the lengths of rows, see `draw_lengths`
SMALL_LEARNING_RATE = 5e-3
SETTINGS = Settings(
    seed=13,
    epochs=1,
    min_steps=0,
    learning_rate=2e-4,
    schedule="linear",
    warmup_ratio=0.1,
    max_gradient_norm=1.0,
    batch_tokens=2048,
    micro_batch_tokens=0,
)
TAGS = TagHead(0.0)


@dataclass(frozen=True)
class Shape:
    """The sizes of a BERT encoder."""

    name: str
    layers: int
    width: int
    heads: int
    inner: int
    vocabulary: int = 30_522
    positions: int = 512


BERT_BASE = Shape("BERT-base", layers=12, width=768, heads=12, inner=3072)
DEFAULT = Shape("MiniLM-L6", layers=6, width=384, heads=12, inner=1536)  # the encoder of params.yaml
TINY = (
    Shape("tiny-A", layers=2, width=32, heads=4, inner=64, vocabulary=200, positions=64),
    Shape("tiny-B", layers=2, width=24, heads=2, inner=48, vocabulary=200, positions=64),
)


class SkippedError(Exception):
    """What a part promises cannot be shown on this machine, for the reason given."""


@dataclass
class Target:
    """Where a part runs, with which sizes, and what it has found so far."""

    device: str
    small: bool
    folder: Path  # empty, for the part alone
    deadline: float  # of time.monotonic(): what measures stops by then
    result: Path | None = None
    figures: dict[str, Any] = field(default_factory=dict)

    @property
    def shapes(self) -> tuple[Shape, Shape]:
        """The two encoders, the larger first."""
        return TINY if self.small else (BERT_BASE, DEFAULT)

    @property
    def is_cuda(self) -> bool:
        """Whether the parts run on a GPU."""
        return self.device == "cuda"

    @property
    def left(self) -> float:
        """Seconds that the part may still take."""
        return self.deadline - time.monotonic()

    def compute(self, precision: str) -> Compute:
        """The device with that precision."""
        return Compute(torch.device(self.device), DTYPES[precision])

    def record(self, **figures: Any) -> None:
        """Keep figures; those of a part that crashes or hangs later are in the report, too."""
        self.figures |= figures
        self.finish({})

    def finish(self, record: dict[str, Any]) -> None:
        """Write the figures with the outcome of the part, if it has one already."""
        if self.result:
            partial = self.result.with_suffix(".part")
            partial.write_text(json.dumps({**record, "figures": self.figures}))
            partial.replace(self.result)

    def synchronize(self) -> None:
        """Wait until the device has done all that was queued."""
        if self.is_cuda:
            torch.cuda.synchronize()


@dataclass(frozen=True)
class Run:
    """A training run of the engine."""

    model: PreTrainedModel
    weights: MasterWeights
    pending: Iterator[PendingStep]

    def finish(self) -> list[Step]:
        """Train to the end, each step read a step late, as `stages.train` does."""
        steps, queued = [], []
        for step in self.pending:
            queued.append(step)
            if len(queued) > 1:
                steps.append(queued.pop(0).read())
        return steps + [step.read() for step in queued]

    def digest(self) -> str:
        """SHA-256 of masters, moments and step count."""
        return digest(self.weights.state())


def digest(tensors: dict[str, torch.Tensor]) -> str:
    """SHA-256 of the names and bytes of tensors."""
    sha256 = hashlib.sha256()
    for name, value in sorted(tensors.items()):
        sha256.update(name.encode())
        sha256.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return sha256.hexdigest()


def make_model(shape: Shape, *, dropout: float = 0.1, seed: int = 0, spread: float = 0.02) -> PreTrainedModel:
    """A token classifier with random weights of that standard deviation, in evaluation mode, on the CPU in fp32."""
    config = AutoConfig.for_model(
        "bert", hidden_size=shape.width, num_hidden_layers=shape.layers, num_attention_heads=shape.heads,
        intermediate_size=shape.inner, max_position_embeddings=shape.positions, vocab_size=shape.vocabulary,
        num_labels=LABELS, hidden_dropout_prob=dropout, attention_probs_dropout_prob=dropout,
        initializer_range=spread, pad_token_id=0,
    )  # fmt: skip
    torch.manual_seed(seed)
    model: PreTrainedModel = AutoModelForTokenClassification.from_config(config, attn_implementation="eager")
    return model.eval()


def draw_lengths(profile: str, *, tokens: int, longest: int, seed: int = 0) -> npt.NDArray[np.int64]:
    """Lengths of rows, `tokens` in all or a row more: `short` as sentences of CoNLL-2003 in WordPieces, or a number.

    Short rows are log-normal with a median of 17 tokens, cut off at 120 and at `longest`.
    """
    if profile != "short":
        length = min(int(profile), longest)
        return np.full(-(-tokens // length), length)
    generator = np.random.default_rng(seed)
    lengths = np.exp(generator.normal(np.log(17), 0.65, size=tokens // 8 + 16)).astype(np.int64)
    lengths = lengths.clip(4, min(120, longest))
    return lengths[: np.searchsorted(np.cumsum(lengths), tokens) + 1]


def make_split(lengths: npt.NDArray[np.int64], shape: Shape, *, seed: int = 0) -> EncodedSplit:
    """Rows of these lengths, each a sentence of its own, with random tokens whose labels follow from their ids.

    A token is the rarer the higher its id, as in text (Zipf's law), so that a few steps learn the common ones. Two
    thirds of the tokens have a label, among them the second of each row, but not the first and the last.
    """
    generator = np.random.default_rng(seed)
    offsets = np.append(0, np.cumsum(lengths))
    total = int(offsets[-1])
    rank = np.exp(generator.random(total) * np.log(shape.vocabulary - FIRST_ID)).astype(np.int64)  # from 1
    input_ids = FIRST_ID - 1 + rank
    is_word = generator.random(total) < 2 / 3
    is_word[offsets[:-1] + 1] = True
    is_word[offsets[:-1]] = is_word[offsets[1:] - 1] = False
    seen = np.cumsum(is_word)
    before = np.append(0, seen)[offsets]  # words in all earlier rows
    word_index = np.where(is_word, seen - 1 - np.repeat(before[:-1], lengths), NO_WORD)
    return EncodedSplit(
        offsets=offsets.astype(np.int32),
        input_ids=input_ids.astype(np.int32),
        labels=np.where(is_word, input_ids % LABELS, IGNORED).astype(np.int32),
        word_index=word_index.astype(np.int32),
        sentence=np.arange(len(lengths), dtype=np.int32),
        words=pa.ListArray.from_arrays(before.astype(np.int32), pa.array(np.full(int(before[-1]), "word"))),
        documents=np.full(len(lengths), -1, np.int32),
    )


def split_for(target: Target, shape: Shape, *, profile: str = "short", tokens: int) -> EncodedSplit:
    """A split of that profile; with --small a hundredth of it, as much as a CPU trains in a moment."""
    tokens = max(tokens // 100, 400) if target.small else tokens
    return make_split(draw_lengths(profile, tokens=tokens, longest=shape.positions), shape)


def settings_for(target: Target, *, batch_tokens: int, **changes: Any) -> Settings:
    """The settings of a run; with --small its batches are a hundredth as large, and it learns as fast as it needs."""
    if target.small:
        changes = {"learning_rate": SMALL_LEARNING_RATE} | changes
        batch_tokens = max(batch_tokens // 100, 40)
    return replace(SETTINGS, batch_tokens=batch_tokens, **changes)


def masters_of(model: PreTrainedModel, split: Split, compute: Compute) -> MasterWeights:
    """Master weights with the parameters of params.yaml; the model moves to the device."""
    vocabulary = torch.from_numpy(np.unique(split.input_ids)).long()
    return MasterWeights(
        model, compute, vocabulary=vocabulary, weight_decay=0.01, layerwise_lr_decay=0.9, head_lr_multiplier=10.0
    )


def start(
    split: Split,
    shape: Shape,
    settings: Settings,
    compute: Compute,
    *,
    dropout: float = 0.1,
    done: int = 0,
    world: World = SINGLE_PROCESS,
    head: Head = TAGS,
) -> Run:
    """A training run from the same random weights each time."""
    model = make_model(shape, dropout=dropout, seed=settings.seed)
    weights = masters_of(model, split, compute)
    recorder = None
    if isinstance(head, JudgingHead):  # as train records it
        recorder = Recorder(head, split, plan_batches(split, settings), device=compute.device)
    steps = train(model, weights, split, settings, compute, head=head, done=done, world=world, recorder=recorder)
    return Run(model, weights, steps)
