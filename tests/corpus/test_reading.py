from pathlib import Path

import pytest

from stages.corpus.reading import read_corpus
from stages.errors import CorpusError


def fill(folder: Path, **texts: str) -> Path:
    for split, text in texts.items():
        (folder / f"{split}.conll").write_text(text, encoding="utf-8")
    return folder


def test_read_corpus_converts_all_splits_when_one_shows_iob1(tmp_path: Path) -> None:
    corpus = read_corpus(fill(tmp_path, train="a I-PER\nb I-PER\n", dev="c O\n", test="d B-LOC\n"))
    assert corpus.scheme == "IOB1"
    assert corpus.splits["train"][0].tags == ("B-PER", "I-PER")
    assert corpus.labels == ["O", "B-LOC", "I-LOC", "B-PER", "I-PER"]


def test_read_corpus_reports_the_faults_of_all_files_at_once(tmp_path: Path) -> None:
    with pytest.raises(CorpusError) as caught:
        read_corpus(fill(tmp_path, train="lonely\n", dev=" \n"))
    message = str(caught.value)
    assert "train.conll:1: needs a word and a tag" in message
    assert "dev.conll: no sentence in it" in message
    assert "test.conll: no such file" in message


def test_read_corpus_refuses_a_corpus_without_entities(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="every word is tagged O"):
        read_corpus(fill(tmp_path, train="a O\n", dev="b O\n", test="c O\n"))
