from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.corpus.conll import read_conll
from stages.errors import CorpusError
from tests.conftest import CORPORA, needs_corpora

WORDS = st.text(st.characters(exclude_categories=["Z", "C"], codec="utf-8"), min_size=1, max_size=8).filter(
    lambda word: not word.isspace() and not word.startswith("-DOCSTART-")
)
TAGS = st.sampled_from(["O", "B-PER", "I-PER", "B-creative-work"])
SENTENCES = st.lists(st.lists(st.tuples(WORDS, TAGS), min_size=1, max_size=6), min_size=1, max_size=6)


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "x.conll"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


@pytest.mark.parametrize(
    "text",
    [
        "Siemens B-ORG\nrose O\n\nBonn B-LOC\n",
        "Siemens\tB-ORG\nrose\tO\n\t\nBonn\tB-LOC",
        "Siemens NNP I-NP B-ORG\nrose VBD I-VP O\n\n\n \nBonn NNP I-NP B-LOC\n\n",
        "-DOCSTART- -X- O O\n\nSiemens B-ORG\r\nrose O\r\n\r\nBonn B-LOC\r\n",
        "\ufeffSiemens B-ORG\nrose O\n\nBonn B-LOC\n",
    ],
    ids=["spaces", "tabs, lone tab as break", "four columns, many blank lines", "docstart, CRLF", "BOM"],
)
def test_read_conll_reads_each_variant_alike(tmp_path: Path, text: str) -> None:
    sentences = read_conll(written(tmp_path, text))
    assert [(s.words, s.tags) for s in sentences] == [
        (("Siemens", "rose"), ("B-ORG", "O")),
        (("Bonn",), ("B-LOC",)),
    ]


def test_read_conll_counts_lines_from_one(tmp_path: Path) -> None:
    assert [s.line for s in read_conll(written(tmp_path, "\na O\nb O\n\nc O\n"))] == [2, 5]


def test_read_conll_reports_all_faulty_lines_with_their_places(tmp_path: Path) -> None:
    path = written(tmp_path, "a O\nlonely\n\nb Q-PER\nc B-\n")
    with pytest.raises(CorpusError) as caught:
        read_conll(path)
    message = str(caught.value)
    assert f"{path}:2: needs a word and a tag, has only 'lonely'" in message
    assert f"{path}:4: 'Q-PER' is no tag" in message
    assert f"{path}:5: 'B-' is no tag" in message


def test_read_conll_shows_twenty_faults_and_counts_the_rest(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="and 5 more") as caught:
        read_conll(written(tmp_path, "x\n" * 25))
    assert str(caught.value).count("needs a word") == 20


def test_read_conll_names_the_line_that_is_not_utf8(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"x\.conll:2: not UTF-8"):
        read_conll(written(tmp_path, b"a O\nM\xfcnchen B-LOC\n"))


@given(SENTENCES)
def test_read_conll_returns_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, sentences: list[list[tuple[str, str]]]
) -> None:
    text = "\n\n".join("\n".join(f"{word}\t{tag}" for word, tag in sentence) for sentence in sentences)
    path = written(tmp_path_factory.mktemp("conll"), text)
    assert [list(zip(s.words, s.tags, strict=True)) for s in read_conll(path)] == sentences


@needs_corpora
@pytest.mark.parametrize(("split", "count"), [("train", 3394), ("dev", 1009), ("test", 1287)])
def test_read_conll_counts_wnut17_as_its_authors_do(split: str, count: int) -> None:
    assert len(read_conll(CORPORA / f"wnut17/{split}.conll")) == count


@needs_corpora
def test_read_conll_counts_wikigold_without_its_document_marks() -> None:
    """The 1,841 blocks that its authors count are 1,696 sentences and 145 lines -DOCSTART-."""
    assert len(read_conll(CORPORA / "wikigold/wikigold.conll.txt")) == 1841 - 145
