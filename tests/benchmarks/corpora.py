"""Corpora encoded for a benchmark, as tokenize would, in a folder of its own."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerFast

from stages.config.sections import load_task_params
from stages.config.tokenize import Params
from stages.corpus.reading import DataParams
from stages.corpus.text.sentences import SPLITS
from stages.encoding.files import EncodedSplit, read_split
from stages.encoding.tokenizer import load_tokenizer
from stages.modeling.pretrained import find_pretrained
from stages.tasks.token_classification.data.corpus import check_corpus
from tests.checkouts import ROOT
from tests.conftest import CORPORA

# Wikigold comes without splits.
SOURCES = {
    "demo": {"dir": str(ROOT / "data/corpora/demo")},
    "WNUT-17": {"dir": str(CORPORA / "wnut17")},
    "Wikigold": {"dir": str(CORPORA / "wikigold"), "split": {"dev": 0.15, "test": 0.15}},
    "Wikigold, by document": {
        "dir": str(CORPORA / "wikigold"),
        "split": {"dev": 0.15, "test": 0.15, "by": "document"},
    },
}


@dataclass(frozen=True)
class Corpus:
    """The splits of a corpus under the pretrained encoder of params.yaml."""

    labels: list[str]
    train: EncodedSplit
    dev: EncodedSplit
    pretrained: Path
    tokenizer: PreTrainedTokenizerFast


def encode_corpus(name: str, folder: Path, **changes: Any) -> Corpus:
    """Encode the corpus called `name` into the empty `folder`; `changes` are those of the section tokenize."""
    params = load_task_params(ROOT / "params.yaml", Params)
    params = params.model_copy(update={"tokenize": params.tokenize.model_copy(update=changes)})
    pretrained = find_pretrained(**params.model.encoder)
    tokenizer = load_tokenizer(pretrained)
    data = DataParams.model_validate(params.data.model_dump() | SOURCES[name])
    checked = check_corpus(params.model_copy(update={"data": data}), tokenizer)
    checked.encode(folder, labels=checked.labels, names={split: split for split in SPLITS}, on_block=lambda _: None)
    return Corpus(checked.labels, read_split(folder, "train"), read_split(folder, "dev"), pretrained, tokenizer)
