from pathlib import Path

import pytest
from hypothesis import given

from stages.corpus.readers import text_files
from stages.corpus.reading import open_corpus
from stages.corpus.text.diagnostics import Diagnostics
from stages.corpus.text.sentences import Sentence
from tests.conftest import CORPORA, needs_corpora
from tests.corpus.conftest import SENTENCES, Pairs, data_params, fill, pairs, read, read_file

SIEMENS = [[("Siemens", "B-ORG"), ("rose", "O")], [("Bonn", "B-LOC")]]


def write(folder: Path, text: str | bytes, name: str = "x.conll") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


@pytest.mark.parametrize(
    "text",
    [
        "Siemens B-ORG\nrose O\n\nBonn B-LOC\n",
        "Siemens   B-ORG\n  rose O \n\nBonn  B-LOC\n",
        "Siemens\tB-ORG\nrose\tO\n\t\nBonn\tB-LOC",
        "Siemens\tB-ORG\nrose\tO\n\u00a0 \t\nBonn\tB-LOC",
        "Siemens NNP I-NP B-ORG\nrose VBD B-VP O\n\n\n \nBonn NNP I-NP B-LOC\n\n",
        "-DOCSTART- -X- O O\n\nSiemens B-ORG\r\nrose O\r\n\r\nBonn B-LOC\r\n",
        "-DOCSTART- O\nSiemens B-ORG\nrose O\n-DOCSTART- O\nBonn B-LOC\n",
        "\ufeffSiemens B-ORG\nrose O\n\nBonn B-LOC\n",
        "# sent_id = 1\n# text = Siemens rose\nSiemens\tB-ORG\nrose\tO\n\n# text = Bonn\tin May\nBonn\tB-LOC\n",
        "# newdoc\nSiemens B-ORG\nrose O\n\n# newdoc\nBonn B-LOC\n",
        "# id 4f13 domain=en\nSiemens _ _ B-ORG\nrose _ _ O\n\n# id 4f14 domain=en\nBonn _ _ B-LOC\n",
        "1\tSiemens\tB-ORG\n2\trose\tO\n\n1\tBonn\tB-LOC\n",
        "1 Siemens NNP B-ORG\n2 rose VBD O\n\n1 Bonn NNP B-LOC\n",
        "#\tn-tv.de\t2010\n1\tSiemens\tB-ORG\tO\n2\trose\tO\tO\n\n#\tn-tv.de\t2010\n1\tBonn\tB-LOC\tO\n",
        "\n" * 10_000 + "Siemens B-ORG\nrose O\n\nBonn B-LOC\n",
    ],
    ids=[
        "blanks",
        "several blanks",
        "tabs, lone tab as break",
        "tabs, a break of no-break space",
        "four columns, many blank lines",
        "docstart, CRLF",
        "docstart without blank lines",
        "BOM",
        "comments of CoNLL-U",
        "comments as wide as the rest",
        "comments of MultiCoNER",
        "counters, tabs",
        "counters, blanks",
        "GermEval with nothing nested",
        "blank lines before it all",
    ],
)
def test_conll_reads_each_variant_alike(tmp_path: Path, text: str) -> None:
    assert pairs(read_file(write(tmp_path, text))) == SIEMENS


@pytest.mark.parametrize("name", ["x.txt", "x.TSV", "x.bio", "x.conllu", "x.iob2"])
def test_conll_is_recognised_by_many_extensions(tmp_path: Path, name: str) -> None:
    assert pairs(read_file(write(tmp_path, "Siemens B-ORG\nrose O\n\nBonn B-LOC\n", name))) == SIEMENS


@pytest.mark.parametrize(
    "word",
    [
        "#",
        "#tag",
        "# tag",
        "New\u00a0York",
        "a\u2028b",
        "a\x0bb",
        "a\x0cb",
        "a\u0085b",
        "-DOCSTART",
        "\u200b",
        "👩\u200d🔬",
        "0-1",
        "O",
        "B-LOC",
    ],
)
def test_conll_keeps_odd_words(tmp_path: Path, word: str) -> None:
    """At any place: at the start of the file, of a sentence, within one."""
    sentence = [(word, "B-LOC"), ("is", "O"), (word, "I-LOC")]
    text = "\n\n".join("\n".join(f"{word}\t{tag}" for word, tag in sentence) for _ in range(2))
    assert pairs(read_file(write(tmp_path, text))) == [sentence, sentence]


def test_conll_reads_chinese_by_the_character(tmp_path: Path) -> None:
    text = "我 O\n在 O\n北 B-LOC\n京 M-LOC\n市 E-LOC\n。 O\n\n浙 S-LOC\n"
    assert pairs(read_file(write(tmp_path, text, "x.char.bmes.txt"))) == [
        [("我", "O"), ("在", "O"), ("北", "B-LOC"), ("京", "M-LOC"), ("市", "E-LOC"), ("。", "O")],
        [("浙", "S-LOC")],
    ]


def test_conll_counts_lines_from_one(tmp_path: Path) -> None:
    text = "\n# text = a b\na\tO\nb\tO\n\nc\tO\n"
    assert [sentence.line for sentence in read_file(write(tmp_path, text))] == [3, 6]


def test_conll_warns_of_a_second_column_of_tags(tmp_path: Path) -> None:
    """It takes the first: the second column of GermEval 2014 has the nested entities."""
    path, diagnostics = write(tmp_path, "1\tBonner\tB-LOCderiv\tO\n2\tUniversität\tO\tB-ORG\n"), Diagnostics()
    assert pairs(read_file(path, diagnostics)) == [[("Bonner", "B-LOCderiv"), ("Universität", "O")]]
    assert [(found.severity, found.code, found.where) for found in diagnostics.kept] == [
        ("warning", "ambiguous-tags", str(path))
    ]
    assert diagnostics.kept[0].message == "took the tags of column 3; column 4 holds tags too. Choose with data.tags."
    chosen = Diagnostics()
    assert pairs(read_file(path, chosen, tags=4)) == [[("Bonner", "O"), ("Universität", "B-ORG")]]
    assert not chosen.kept


def test_conll_reads_the_columns_that_the_parameters_name(tmp_path: Path) -> None:
    path = write(tmp_path, "B-LOC x Bonn\nO x rains\n")
    assert pairs(read_file(path, words=3, tags=1)) == [[("Bonn", "B-LOC"), ("rains", "O")]]


def test_conll_notes_how_many_comments_it_skipped(tmp_path: Path) -> None:
    diagnostics = Diagnostics()
    read_file(write(tmp_path, "# a b c\n# d\nBonn B-LOC\n\n# e\nrains O\n"), diagnostics)
    assert [(found.severity, found.message) for found in diagnostics.kept] == [("note", "3 comment lines skipped")]


@pytest.mark.parametrize("mark", ["-DOCSTART- -X- O\n\n", "-DOCSTART-\tO\n", "# newdoc id = 7\n"])
def test_conll_numbers_documents(tmp_path: Path, mark: str) -> None:
    text = f"{mark}a\tO\n\nb\tO\n\n{mark}c\tO\n"
    corpus = open_corpus(data_params(write(tmp_path, text)), allow_unsplit=True)
    assert [int(number) for block, _ in corpus.blocks(Diagnostics()) for number in block.documents] == [0, 0, 1]


def test_conll_reads_the_text_before_the_first_mark_as_a_document(tmp_path: Path) -> None:
    text = "a\tO\n\nb\tO\n\n-DOCSTART-\tO\n\nc\tO\n\n-DOCSTART-\tO\n"
    corpus = open_corpus(data_params(write(tmp_path, text)), allow_unsplit=True)
    assert [int(number) for block, _ in corpus.blocks(Diagnostics()) for number in block.documents] == [0, 0, 1]


@pytest.mark.parametrize("separator", ["\t", " ", "   "])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
@given(sentences=SENTENCES)
def test_conll_returns_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, separator: str, line_end: str, sentences: Pairs
) -> None:
    if separator != "\t":
        sentences = [[(word.replace(" ", "_"), tag) for word, tag in sentence] for sentence in sentences]
    text = "".join(f"{word}{separator}{tag}\n" if word else "\n" for s in sentences for word, tag in [*s, ("", "")])
    path = write(tmp_path_factory.mktemp("conll"), text.replace("\n", line_end))
    assert pairs(read_file(path)) == sentences


CHUNKED = "-DOCSTART- -X- O\r\n\r\n" + "".join(
    f"# text = {n}\r\n{'ü€' * (n % 5 + 1)}\tNN\tB-LOC\r\n" + "ist\tV\tO\r\n" * (n % 4) + ("\r\n", "\t\n", "\n\n")[n % 3]
    for n in range(40)
).replace("# text = 20", "# newdoc")


@pytest.mark.parametrize("chunk", [1, 2, 7, 64, 1000])
@pytest.mark.parametrize("tail", ["", "Bonn\tNN\tB-LOC", "Bonn\tNN\tB-LOC\n", "\n \n"])
def test_conll_reads_alike_in_chunks_of_any_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int, tail: str
) -> None:
    path = write(tmp_path, "\ufeff" + CHUNKED + tail)

    def read_all() -> tuple[list[Sentence], list[int], Diagnostics]:
        diagnostics = Diagnostics()
        corpus = open_corpus(data_params(path), allow_unsplit=True)
        blocks = [block for block, _ in corpus.blocks(diagnostics)]
        sentences = [sentence for block in blocks for sentence in block.sentences()]
        return sentences, [int(number) for block in blocks for number in block.documents], diagnostics

    whole = read_all()
    monkeypatch.setattr(text_files, "CHUNK", chunk)
    assert read_all() == whole
    assert len(whole[0]) == 40 + tail.startswith("Bonn")
    assert set(whole[1]) == {0, 1}


@needs_corpora
@pytest.mark.parametrize(("split", "count"), [("train", 3394), ("dev", 1009), ("test", 1287)])
def test_conll_counts_wnut17_as_its_authors_do(split: str, count: int) -> None:
    assert len(read_file(CORPORA / f"wnut17/{split}.conll")) == count


@needs_corpora
def test_conll_counts_wikigold_without_its_document_marks() -> None:
    """The 1,841 blocks that its authors count are 1,696 sentences and 145 lines -DOCSTART-, one after each document."""
    corpus = open_corpus(data_params(CORPORA / "wikigold/wikigold.conll.txt"), allow_unsplit=True)
    blocks = [block for block, _ in corpus.blocks(Diagnostics())]
    assert sum(map(len, blocks)) == 1841 - 145
    assert {int(number) for block in blocks for number in block.documents} == set(range(145))


def test_columns_are_chosen_for_all_files_alike(tmp_path: Path) -> None:
    """A train file with nested tags alone must not make train another corpus than dev and test."""
    nested, plain = "1\tBonn\tO\tB-LOC\n", "1\tBonn\tB-PER\tO\n"
    place = fill(tmp_path / "c", {"train.tsv": nested, "dev.tsv": plain, "test.tsv": plain})
    diagnostics = Diagnostics()
    found = read(open_corpus(data_params(place)), diagnostics)
    assert [found[split][0].tags for split in ("train", "dev", "test")] == [("O",), ("B-PER",), ("B-PER",)]
    assert diagnostics.counts["ambiguous-tags"] == 1


def test_conll_skips_contractions_and_empty_words_of_conllu(tmp_path: Path) -> None:
    text = "1\tvengo\tO\n2-3\tdel\tO\n2\tde\tO\n3\tel\tO\n3.1\tnada\tO\n4\tBonn\tB-LOC\n"
    diagnostics = Diagnostics()
    (sentence,) = read_file(write(tmp_path, text), diagnostics)
    assert sentence.words == ("vengo", "de", "el", "Bonn")
    assert [found.message for found in diagnostics.kept] == ["2 lines of contracted or empty words skipped"]


def test_conll_reports_a_hashtag_without_a_tag_and_does_not_skip_it_as_a_comment(tmp_path: Path) -> None:
    diagnostics = Diagnostics()
    read_file(write(tmp_path, "#Berlin\nis O\nnice B-X\n"), diagnostics)
    assert [(found.severity, found.where.rpartition(":")[2]) for found in diagnostics.kept] == [("error", "1")]


def test_conll_ignores_blanks_after_the_tags_of_tab_separated_columns(tmp_path: Path) -> None:
    (sentence,) = read_file(write(tmp_path, "EU\tB-ORG \nsleeps\tO \n"))
    assert sentence.tags == ("B-ORG", "O")


def test_conll_refuses_one_column_for_words_and_tags(tmp_path: Path) -> None:
    diagnostics = Diagnostics()
    read_file(write(tmp_path, "O O\nB-X B-X\n"), diagnostics, words=1, tags=1)
    assert "both name" in diagnostics.of("error")[0].message
