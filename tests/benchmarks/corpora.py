"""Corpora encoded for a benchmark, as tokenize would, in a folder of its own."""

from dataclasses import dataclass
from pathlib import Path

from transformers import PreTrainedTokenizerFast

from stages.config.tokenize import Params
from stages.corpus.reading import DataParams, open_corpus
from stages.encoding.files import EncodedSplit, read_split
from stages.encoding.rows import Encoder
from stages.encoding.tokenizer import load_tokenizer
from stages.encoding.vocabulary import Vocabulary
from stages.modeling.pretrained import find_pretrained
from stages.params import load_params
from stages.tokenize import check_corpus, encode
from tests.conftest import CORPORA, ROOT

# Wikigold comes without splits.
SOURCES = {
    "demo": {"dir": str(ROOT / "data/corpora/demo")},
    "WNUT-17": {"dir": str(CORPORA / "wnut17")},
    "Wikigold": {"dir": str(CORPORA / "wikigold"), "split": {"dev": 0.15, "test": 0.15}},
}


@dataclass(frozen=True)
class Corpus:
    """The splits of a corpus under the pretrained encoder of params.yaml."""

    labels: list[str]
    train: EncodedSplit
    dev: EncodedSplit
    pretrained: Path
    tokenizer: PreTrainedTokenizerFast


def encode_corpus(name: str, folder: Path) -> Corpus:
    """Encode the corpus called `name` into the empty `folder`."""
    params = load_params(ROOT / "params.yaml", Params)
    pretrained = find_pretrained(**params.model.model_dump())
    tokenizer = load_tokenizer(pretrained)
    source = open_corpus(DataParams.model_validate(params.data.model_dump() | SOURCES[name]))
    encoder = Encoder(
        Vocabulary(tokenizer), length=params.tokenize.window_length, overlap=params.tokenize.window_overlap
    )
    tags, _ = check_corpus(source, encoder.vocabulary, context=params.tokenize.context)
    encode(source, tags, encoder, folder, context=params.tokenize.context, on_block=lambda _: None)
    return Corpus(tags.labels, read_split(folder, "train"), read_split(folder, "dev"), pretrained, tokenizer)
