"""Columns as authors of public corpora distribute them."""

from collections import Counter
from pathlib import Path

import pytest

from stages.corpus.profile import profile_corpus
from stages.corpus.reading import open_corpus
from stages.corpus.text.diagnostics import Diagnostics
from tests.corpus.conftest import Files, data_params, fill, jsonl, pairs, parquet, read, read_file

GERMEVAL = """\
#\thttp://example.org/a\t[2009-10-17]{comment_end}
1\tDie\tO\tO{end}
2\tUniversität\tB-ORG\tO{end}
3\tBonn\tI-ORG\tB-LOC{end}

#\thttp://example.org/b\t[2009-10-18]{comment_end}
1\t#\tO\tO{end}
2\tBonner\tB-LOCderiv\tO{end}
"""
BONN = [[("Die", "O"), ("Universität", "B-ORG"), ("Bonn", "I-ORG")], [("#", "O"), ("Bonner", "B-LOCderiv")]]

CONLL_2012 = """\
#begin document (nw/x/00/x_0000); part 000
nw/x/00/x_0000   0   0    In       IN    (TOP(PP*   -     -   -   Anna        *          *        -
nw/x/00/x_0000   0   1    the      DT        (NP*   -     -   -   Anna   (DATE*          *      (12
nw/x/00/x_0000   0   2    summer   NN          *)   -     -   1   Anna       *)          *      12)
nw/x/00/x_0000   0   3    Xu       NNP         *    -     -   -   Anna   (PERSON)        *        -
nw/x/00/x_0000   0   4    left     VBD        *)) leave  01   1   Anna        *        (V*)       -

nw/x/00/x_0000   0   0    Hong     NNP (TOP(NP*     -     -   -   Anna    (GPE*    (ARG0*   (ARG1*   -
nw/x/00/x_0000   0   1    Kong     NNP         *    -     -   -   Anna        *)       *        *)   -
nw/x/00/x_0000   0   2    Park     NNP        *))   -     -   -   Anna   (FAC*)        *)       *    -

#end document
#begin document (nw/x/00/x_0000); part 001
nw/x/00/x_0000   1   0    Yes      UH  (TOP(INTJ*)) -     -   -   Anna        *          *        -
#end document
"""
HONG_KONG = [
    [("In", "O"), ("the", "B-DATE"), ("summer", "I-DATE"), ("Xu", "B-PERSON"), ("left", "O")],
    [("Hong", "B-GPE"), ("Kong", "I-GPE"), ("Park", "B-FAC")],
    [("Yes", "O")],
]

CONLL_U = """\
# text = Kari Li kom .
1\tKari\tKari\tPROPN\t_\t_\t3\tnsubj\t_\tname=B-PER
2\tLi\tLi\tPROPN\t_\t_\t1\tflat\t_\tSpaceAfter=No|name=I-PER
3-4\tkomda\t_\t_\t_\t_\t_\t_\t_\t_
3\tkom\tkomme\tVERB\t_\t_\t0\troot\t_\t_
4\tda\tda\tADV\t_\t_\t3\tadvmod\t_\tname=O
"""

IO = """\
Angela person-politician
Merkel person-politician
visited O
Bonn location-GPE

Dostoevsky person-artist/author
wrote O
"""
IO_PAIRS = [
    [
        ("Angela", "person-politician"),
        ("Merkel", "person-politician"),
        ("visited", "O"),
        ("Bonn", "location-GPE"),
    ],
    [("Dostoevsky", "person-artist/author"), ("wrote", "O")],
]
NAMES = ["O", "person-politician", "location-GPE", "person-artist/author"]


def profile(place: Path) -> tuple[str, Counter[str], Diagnostics]:
    """The scheme, the entities by type, and the diagnostics of a corpus without splits."""
    corpus, diagnostics = open_corpus(data_params(place), allow_unsplit=True), Diagnostics()
    found = profile_corpus(corpus, diagnostics, count_tokens=None, context="sentence", on_block=id)
    return found.reader.scheme, found.splits["all"].entities, diagnostics


@pytest.mark.parametrize(("comment_end", "end"), [("", ""), ("\t", ""), ("", "\t"), ("\t", "\t"), ("\t\t", "\t")])
def test_germeval_is_read_without_comments_and_empty_columns(tmp_path: Path, comment_end: str, end: str) -> None:
    """The comments may have as many columns as the words: `#`, address, date and an empty one."""
    diagnostics = Diagnostics()
    text = GERMEVAL.format(comment_end=comment_end, end=end)
    assert pairs(read_file(fill(tmp_path, {"NER-de-train.tsv": text}) / "NER-de-train.tsv", diagnostics)) == BONN
    assert [(found.severity, found.message) for found in diagnostics.kept] == [
        ("warning", "took the tags of column 3; column 4 holds tags too. Choose with data.tags."),
        ("note", "2 comment lines skipped"),
    ]


def test_tabs_at_some_line_ends_are_no_columns(tmp_path: Path) -> None:
    lines = "a\tNN\tB-X\t\nb\tVB\tO\n\t\t\t\nc\tNN\tO\t\t\n"
    assert pairs(read_file(fill(tmp_path, {"x.tsv": lines}) / "x.tsv")) == [[("a", "B-X"), ("b", "O")], [("c", "O")]]


def test_last_column_that_is_sometimes_empty_is_a_column(tmp_path: Path) -> None:
    lines = "a\tB-X\t\nb\tO\tnote\nc\tO\t\n"
    assert pairs(read_file(fill(tmp_path, {"x.tsv": lines}) / "x.tsv")) == [[("a", "B-X"), ("b", "O"), ("c", "O")]]


@pytest.mark.parametrize(
    ("lines", "tags", "message"),
    [
        ("1\tBonner\tB-LOC\tO\n2\tUni\tI-LOC\tB-LOC\n", ["B-LOC", "I-LOC"], "column 3; column 4"),
        ("Bonn\tNNP\tI-NP\tB-LOC\nrains\tVBZ\tI-VP\tO\n", ["B-LOC", "O"], "column 4; column 3"),
        ("San\tLOC\tO\nJose\tLOC\tLOC\nrains\tO\tO\n", ["LOC", "LOC", "O"], "column 2; column 3"),
    ],
    ids=["outer before inner entities", "chunks before entities", "IO"],
)
def test_tag_column_is_the_first_of_entities(tmp_path: Path, lines: str, tags: list[str], message: str) -> None:
    diagnostics = Diagnostics()
    (sentence,) = read_file(fill(tmp_path, {"x.tsv": lines}) / "x.tsv", diagnostics)
    assert list(sentence.tags) == tags
    (warning,) = diagnostics.of("warning")
    assert warning.message == f"took the tags of {message} holds tags too. Choose with data.tags."


@pytest.mark.parametrize("separator", [" ", "\t"])
@pytest.mark.parametrize("name", ["x.conll", "train.english.v4_gold_conll"])
def test_conll_2012_is_read_from_its_brackets(tmp_path: Path, name: str, separator: str) -> None:
    text = CONLL_2012
    if separator == "\t":
        text = "\n".join(line if line.startswith("#") else "\t".join(line.split()) for line in text.split("\n"))
    path, diagnostics = fill(tmp_path, {name: text}) / name, Diagnostics()
    assert pairs(read_file(path, diagnostics)) == HONG_KONG
    assert diagnostics.kept == []
    corpus = open_corpus(data_params(path), allow_unsplit=True)
    assert [int(number) for block, _ in corpus.blocks(Diagnostics()) for number in block.documents] == [0, 0, 1]


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("(GPE* ", "(* ", "8: '(*' is not a tag"),
        ("    (GPE*    (ARG0*   (ARG1*   -\n", "    (GPE*    *  *  -\n\n", "8: '(GPE*' is not a tag"),
        ("(PERSON)", "*)", "5: '*)' is not a tag"),
        ("      *)          *      12)", "   (X*)          *      12)", "4: '(X*)' is not a tag"),
    ],
    ids=["no type", "not closed", "not opened", "nested"],
)
def test_conll_2012_reports_brackets_that_do_not_match(tmp_path: Path, old: str, new: str, fault: str) -> None:
    assert old in CONLL_2012
    path, diagnostics = fill(tmp_path, {"x.conll": CONLL_2012.replace(old, new, 1)}) / "x.conll", Diagnostics()
    read_file(path, diagnostics)
    error = diagnostics.of("error")[0]
    assert f"{path}:{fault}" in f"{error.where}: {error.message}"


def test_conll_u_is_read_from_the_tags_in_misc(tmp_path: Path) -> None:
    diagnostics = Diagnostics()
    path = fill(tmp_path, {"no-ud-dev.conllu": CONLL_U}) / "no-ud-dev.conllu"
    assert pairs(read_file(path, diagnostics)) == [[("Kari", "B-PER"), ("Li", "I-PER"), ("kom", "O"), ("da", "O")]]
    assert not diagnostics.of("error")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("x.csv", "Siemens\tB-ORG\tO\nrose\tO\tO\n\nBonn\tB-LOC\tO\n"),
        ("x.csv", "-DOCSTART- O\n\nSiemens B-ORG\nrose O\n\nBonn B-LOC\n"),
        ("x.csv", "\ufeff# source\nSiemens\tB-ORG\r\nrose\tO\r\n\r\nBonn\tB-LOC\r\n"),
        ("x.csv", "Siemens\tB-ORG\rrose\tO\r\rBonn\tB-LOC\r"),
        ("x.csv", "Siemens,B-ORG\nrose,O\n\nBonn,B-LOC\n"),
        ("x.csv", '"Siemens";NNP;"B-ORG"\nrose;VBD;O\n\nBonn;NNP;B-LOC\n'),
        ("x.csv", "tokens,ner_tags\n\"['Siemens', 'rose']\",\"['B-ORG', 'O']\"\n['Bonn'],['B-LOC']\n"),
        ("x.csv", "ner_tags,tokens\n\"['B-ORG'\n 'O']\",\"['Siemens'\n 'rose']\"\n['B-LOC'],['Bonn']\n"),
    ],
    ids=[
        "tabs",
        "blanks",
        "BOM, comment, CRLF",
        "old Mac",
        "commas",
        "semicolons, quotes",
        "a table",
        "a table of NumPy",
    ],
)
def test_columns_in_a_csv_are_told_from_a_table(tmp_path: Path, name: str, text: str) -> None:
    assert pairs(read_file(fill(tmp_path, {name: text}) / name)) == [
        [("Siemens", "B-ORG"), ("rose", "O")],
        [("Bonn", "B-LOC")],
    ]


def test_comma_in_quotes_is_a_word(tmp_path: Path) -> None:
    text = 'Bonn,B-LOC\n",",O\n"""",O\n\nrains,O\n'
    assert pairs(read_file(fill(tmp_path, {"x.csv": text}) / "x.csv")) == [
        [("Bonn", "B-LOC"), (",", "O"), ('"', "O")],
        [("rains", "O")],
    ]


def test_long_csv_of_columns_is_recognised_by_its_whole_lines(tmp_path: Path) -> None:
    text = "Siemens\tB-ORG\nrose\tO\n\n" * 1000
    assert len(read_file(fill(tmp_path, {"x.csv": text}) / "x.csv")) == 1000


@pytest.mark.parametrize(
    "files",
    [
        {"x.conll": IO},
        {"x.tsv": IO.replace(" ", "\t")},
        {"x.jsonl": jsonl(*({"tokens": [w for w, _ in s], "tags": [t for _, t in s]} for s in IO_PAIRS))},
        {
            "x.parquet": parquet(
                {
                    "tokens": [[word for word, _ in sentence] for sentence in IO_PAIRS],
                    "ner_tags": [[NAMES.index(tag) for _, tag in sentence] for sentence in IO_PAIRS],
                },
                names=NAMES,
            )
        },
        {"x.csv": "tokens,ner_tags\n" + "".join(f'"{[w for w, _ in s]}","{[t for _, t in s]}"\n' for s in IO_PAIRS)},
    ],
    ids=lambda files: next(iter(files)),
)
def test_io_tags_are_read_in_each_format(tmp_path: Path, files: Files) -> None:
    scheme, entities, diagnostics = profile(fill(tmp_path, files))
    assert (scheme, entities) == ("IO", {"person-politician": 1, "location-GPE": 1, "person-artist/author": 1})
    assert not diagnostics.of("error")
    (note,) = [found for found in diagnostics.kept if found.code == "io-tags"]
    assert (note.severity, note.message) == (
        "note",
        "tags without prefixes (IO): neighbouring entities of one type are read as one",
    )


def test_io_tags_are_those_of_the_whole_corpus(tmp_path: Path) -> None:
    """One file has no entity, in another all words are in entities."""
    plain, dense = "a O\n\n", "Bonn LOC\nRome LOC\n\nParis LOC\n"
    place = fill(tmp_path, {"train.conll": plain, "dev.conll": IO, "test.conll": dense})
    found = read(open_corpus(data_params(place)))
    assert [sentence.tags for sentence in found["test"]] == [("LOC", "LOC"), ("LOC",)]
    assert found["dev"][0].tags == ("person-politician", "person-politician", "O", "location-GPE")


NO_IO = {
    "parts of speech": ("Bonn NNP\nis VBZ\nquiet JJ\n. .\n", "1: 'NNP' is not a tag; tags are O, B-TYPE and I-TYPE"),
    "parts of speech, one of them O": ("I O\nam V\nin P\nBonn ^\nnow R\ntoo R\n", "2: 'V' is not a tag"),
    "prefixes alone": ("IL-2 B\ngene I\nis O\n", "1: 'B' is not a tag"),
    "prefixes with another sign": ("Angela B_PER\nMerkel I_PER\nis O\n", "1: 'B_PER' is not a tag"),
    "prefixes behind": ("Angela PER-B\nMerkel PER-I\nis O\n", "1: 'PER-B' is not a tag"),
    "prefixes in lower case": ("Angela b-per\nMerkel i-per\nis O\n", "1: 'b-per' is not a tag"),
    "one type without a prefix": (
        "Angela B-PER\nMerkel I-PER\nis O\nBonn LOC\n",
        "4: 'LOC' is not a tag; tags are O, B-",
    ),
    "one prefix": ("Angela PER\nMerkel PER\nis O\nBonn B-LOC\n", "4: 'B-LOC' is not a tag here, where most have no"),
}


@pytest.mark.parametrize(("text", "message"), NO_IO.values(), ids=NO_IO)
def test_tags_that_are_not_io_stay_faults(tmp_path: Path, text: str, message: str) -> None:
    path, diagnostics = fill(tmp_path, {"x.conll": text}) / "x.conll", Diagnostics()
    read_file(path, diagnostics)
    assert f"{path}:{message}" in f"{diagnostics.of('error')[0].where}: {diagnostics.of('error')[0].message}"


def test_comment_of_an_io_corpus_that_is_as_wide_as_its_lines_is_no_word(tmp_path: Path) -> None:
    text = f"# politics\n{IO}\n# O\nBonn location-GPE\n"
    sentences = read_file(fill(tmp_path, {"x.conll": text}) / "x.conll")
    assert [sentence.words[0] for sentence in sentences] == ["Angela", "Dostoevsky", "#"]
