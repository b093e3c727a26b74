"""Encoded windows of raw text for the tests of this task."""

from pathlib import Path
from typing import Any

from stages.encoding.files import Manifest
from stages.encoding.tokenizer import load_tokenizer
from stages.tasks.language_modeling.data.corpus import CheckedText, check_corpus
from stages.tasks.language_modeling.data.params import DataParams, WindowParams
from stages.tasks.language_modeling.params import LanguageModelParams
from tests.checkouts import DEMO

TASK = LanguageModelParams(name="language_modeling", mask_share=0.15)


class Params:
    """The sections that tokenize reads."""

    def __init__(self, folder: Path, *, length: int = 32, **data: Any) -> None:
        self.data = DataParams(**{"dir": str(folder), "document": "blank_line", "split": None, **data})
        self.tokenize = WindowParams(window_length=length)


def write_documents(folder: Path) -> None:
    """Write documents of some sentences of the demo corpus, without their tags."""
    folder.mkdir(parents=True)
    for split in ("train", "dev", "test"):
        sentences = (DEMO / f"{split}.conll").read_text(encoding="utf-8").split("\n\n")[:60]
        texts = [" ".join(line.split(" ")[0] for line in sentence.splitlines()) for sentence in sentences]
        documents = ["\n".join(texts[start : start + 5]) for start in range(0, len(texts), 5)]
        (folder / f"{split}.txt").write_text("\n\n".join(documents) + "\n", encoding="utf-8")


def check(folder: Path, pretrained: Path, **options: Any) -> CheckedText:
    """The corpus of a folder, as tokenize reads it."""
    return check_corpus(Params(folder, **options), load_tokenizer(pretrained))


def encode(folder: Path, pretrained: Path, target: Path, **options: Any) -> Manifest:
    """Encode the corpus of a folder into the new folder `target`."""
    corpus = check(folder, pretrained, **options)
    target.mkdir()
    counts = corpus.encode(
        target, labels=[], names={split: split for split in ("train", "dev", "test")}, on_block=lambda _: None
    )
    return Manifest(1, "language_modeling", corpus.labels, corpus.details, "", {}, counts, {})
