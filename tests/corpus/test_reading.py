"""Which files are a corpus, and which sentence is of which split."""

import gzip
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.corpus.readers import layout
from stages.corpus.reading import SplitParams, open_corpus, split_numbers
from stages.corpus.text.diagnostics import Diagnostics
from stages.corpus.text.documents import group_documents
from stages.corpus.text.schemes import TagReader
from stages.corpus.text.sentences import SPLITS, Block, BlockBuilder
from stages.errors import CorpusError
from tests.corpus.conftest import GOOD, Files, data_params, fill, jsonl, pairs, parquet, read

SHARES = SplitParams(dev=0.1, test=0.2)
WORDS = {"train": "a", "dev": "b", "test": "c"}
DIGESTS = ["3ff492bdc62b9afd", "8269cf41315b0149", "707438faa779d508"]


def one(word: str) -> str:
    return f"{word} B-X\n"


def block_of(sentences: list[str], documents: list[int] | None = None) -> Block:
    builder = BlockBuilder()
    for n, words in enumerate(sentences):
        builder.add(words.split(), ["O"] * len(words.split()), n + 1, documents[n] if documents else -1)
    return builder.build("x")


@pytest.mark.parametrize(
    "files",
    [
        {"train.conll": one("a"), "dev.conll": one("b"), "test.conll": one("c")},
        {"train.txt": one("a"), "valid.txt": one("b"), "test.txt": one("c")},
        {"Train.tsv": one("a"), "validation.bio": one("b"), "TEST.iob2": one("c")},
        {"train.conll": one("a"), "val.jsonl": jsonl({"tokens": ["b"], "tags": ["B-X"]}), "test.conll": one("c")},
        {"train.conll.gz": gzip.compress(one("a").encode()), "dev.conll": one("b"), "test.conll": one("c")},
        {"train.conll": gzip.compress(one("a").encode()), "dev.conll": one("b"), "test.conll": one("c")},
        {"train/x.conll": one("a"), "validation/y.conll": one("b"), "test/z.conll": one("c")},
        {
            "train.csv": "tokens,tags\n['a'],['B-X']\n",
            "dev.csv": "tokens,tags\n['b'],['B-X']\n",
            "test.conll": one("c"),
        },
        {
            "train-00000-of-00001.parquet": parquet({"tokens": [["a"]], "ner_tags": [["B-X"]]}),
            "validation-00000-of-00001.parquet": parquet({"tokens": [["b"]], "ner_tags": [["B-X"]]}),
            "test-00000-of-00001.parquet": parquet({"tokens": [["c"]], "ner_tags": [["B-X"]]}),
        },
        {
            "train.conll": one("a"),
            "dev.conll": one("b"),
            "test.conll": one("c"),
            "README.md": "x",
            "README.txt": "x",
            "LICENSE.txt": "x",
            "guidelines.txt": "x",
            ".train.conll.swp": "x",
            ".test.conll": "x",
            "all.conll": one("d"),
            "dataset_info.json": "{}",
        },
    ],
    ids=["dev", "valid", "case", "formats mixed", "gzip", "gzip under a plain name", "folders", "CSV", "hub", "others"],
)
def test_open_corpus_finds_the_splits(tmp_path: Path, files: Files) -> None:
    splits = read(open_corpus(data_params(fill(tmp_path, files))))
    assert {name: pairs(sentences) for name, sentences in splits.items()} == {
        name: [[(word, "B-X")]] for name, word in WORDS.items()
    }


@pytest.mark.parametrize(
    "form", ["train-{}.conll", "train_{}.conll", "train.{}.conll", "train{}.conll", "train/{}.conll"]
)
def test_open_corpus_reads_shards_in_order(tmp_path: Path, form: str) -> None:
    shards: Files = {form.format(f"{n:03}"): one(f"w{n}") for n in range(12)}
    corpus = open_corpus(data_params(fill(tmp_path, shards | {"dev.conll": one("b"), "test.conll": one("c")})))
    assert [sentence.words for sentence in read(corpus)["train"]] == [(f"w{n}",) for n in range(12)]


@pytest.mark.parametrize("files", [{"all.conll": GOOD}, {"train.conll": GOOD}, {"a.conll": GOOD, "b.conll": GOOD}])
def test_open_corpus_allows_a_corpus_without_splits_on_request(tmp_path: Path, files: Files) -> None:
    place = fill(tmp_path, files)
    with pytest.raises(CorpusError, match=r"data\.split="):
        open_corpus(data_params(place))
    assert len(read(open_corpus(data_params(place), allow_unsplit=True))["all"]) == 2 * len(files)


@pytest.mark.parametrize("name", ["all.conll", "train.conll"])
def test_open_corpus_splits_by_the_shares(tmp_path: Path, name: str) -> None:
    text = "\n".join(f"w{n} B-X\n" for n in range(2000))
    splits = read(open_corpus(data_params(fill(tmp_path, {name: text}), split=SHARES)))
    assert sum(map(len, splits.values())) == 2000
    assert 0.07 < len(splits["dev"]) / 2000 < 0.13
    assert 0.16 < len(splits["test"]) / 2000 < 0.24


def test_open_corpus_splits_alike_however_the_text_is_written(tmp_path: Path) -> None:
    """A sentence's words decide, not its file, its place in it, or its tags."""
    words = [f"w{n}" for n in range(200)]
    text = fill(tmp_path / "text", {"all.conll": "\n".join(f"{word} B-X\n" for word in words)})
    lines = jsonl(*({"tokens": [word], "tags": ["O"]} for word in reversed(words)))
    other = fill(tmp_path / "json", {"x.jsonl": lines, "y.conll": one("more")})
    first, second = (read(open_corpus(data_params(place, split=SHARES))) for place in (text, other))
    for name, sentences in first.items():
        assert {s.words for s in sentences} == {s.words for s in second[name]} - {("more",)}


@given(
    st.lists(st.text(st.characters(codec="ascii", categories=["L"]), min_size=1), min_size=2, max_size=30), st.data()
)
def test_split_numbers_stay_as_sentences_are_added(sentences: list[str], data: st.DataObject) -> None:
    kept = data.draw(st.lists(st.sampled_from(sentences), min_size=1))
    numbers = dict(zip(sentences, split_numbers(block_of(sentences).digests, SHARES), strict=True))
    assert [numbers[sentence] for sentence in kept] == list(split_numbers(block_of(kept).digests, SHARES))


def test_split_numbers_come_close_to_the_shares() -> None:
    numbers = split_numbers(block_of([f"sentence {n}" for n in range(20_000)]).digests, SHARES)
    counts = Counter(numbers.tolist())
    assert counts[0] / 20_000 == pytest.approx(0.7, abs=0.015)
    assert counts[1] / 20_000 == pytest.approx(0.1, abs=0.01)
    assert counts[2] / 20_000 == pytest.approx(0.2, abs=0.015)


def test_split_numbers_take_test_sentences_from_train_as_its_share_grows() -> None:
    digests = block_of([f"sentence {n}" for n in range(2000)]).digests
    small, large = (split_numbers(digests, SplitParams(dev=0.1, test=test)) for test in (0.1, 0.2))
    assert ((small != 2) | (large == 2)).all()


def test_digests_do_not_change_between_versions() -> None:
    """They decide which sentence is of which split, so a corpus split once must be split alike forever."""
    assert [f"{digest:016x}" for digest in block_of(["Bonn", "New York", "Zürich"]).digests] == DIGESTS


def test_digests_distinguish_words_from_parts_of_words() -> None:
    assert len(set(block_of(["a b c", "ab c", "a bc", "abc"]).digests.tolist())) == 4


@given(st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=5), min_size=1, max_size=6))
def test_group_documents_keeps_all_sentences_and_cuts_no_document(steps: list[list[int]]) -> None:
    number, blocks, count = 0, [], 0
    for steps_of_block in steps:
        documents = []
        for step in steps_of_block:
            number += step > 0
            documents.append(number)
        sentences = [f"w{count + n}" for n in range(len(documents))]
        blocks.append(block_of(sentences, documents))
        count += len(documents)
    whole = list(group_documents(blocks))
    assert [s.words for block in whole for s in block.sentences()] == [(f"w{n}",) for n in range(count)]
    documents_of = [set(block.documents.tolist()) for block in whole]
    assert sum(map(len, documents_of)) == len(set().union(*documents_of))


def test_corpus_yields_only_valid_blocks_and_reports_all_faults(tmp_path: Path) -> None:
    diagnostics = Diagnostics()
    files: Files = {"train.conll": "lonely\n", "dev.conll": GOOD, "test.conll": "Bonn B-LOC\n\nRome B-\n"}
    splits = read(open_corpus(data_params(fill(tmp_path, files))), diagnostics)
    assert [len(sentences) for sentences in splits.values()] == [0, 2, 1]
    assert [diagnostic.where for diagnostic in diagnostics.kept] == [
        f"{tmp_path}/train.conll:1",
        f"{tmp_path}/test.conll:3",
    ]


def test_corpus_sniffs_each_file_once_for_all_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sniffed: list[Path] = []
    sniff = layout.sniff
    monkeypatch.setattr(layout, "sniff", lambda path, stream: sniffed.append(path) or sniff(path, stream))
    two_tags = "a\tO\tB-X\n\n-DOCSTART-\tO\tO\n\nb\tB-X\tO\n"
    corpus = open_corpus(data_params(fill(tmp_path / "c", {f"{split}.tsv": two_tags for split in SPLITS})))
    passes = []
    for _ in range(3):
        diagnostics = Diagnostics()
        documents = [block.documents.tolist() for block, _ in corpus.blocks(diagnostics)]
        passes.append((documents, diagnostics))
    assert sorted(sniffed) == sorted(path for path, _ in corpus.files)
    assert passes == [passes[0]] * 3
    assert passes[0][0] == [[0], [1]] * 3  # the text before the first mark is a document, too
    assert passes[0][1].counts == {"ambiguous-tags": 1}


def test_diagnostics_extend_counts_all_and_keeps_twenty() -> None:
    diagnostics, other = Diagnostics(), Diagnostics()
    for number in range(30):
        diagnostics.add("note", "old", f"x:{number}", "seen")
        other.add("note", "old", f"y:{number}", "seen")
        other.add("warning", "new", f"y:{number}", "seen")
    diagnostics.extend(other)
    assert diagnostics.counts == {"old": 60, "new": 30}
    assert Counter((each.severity, each.where[0]) for each in diagnostics.kept) == {
        ("note", "x"): 20,
        ("warning", "y"): 20,
    }


@pytest.mark.parametrize(
    "names",
    [
        ("eng.train", "eng.testa", "eng.testb"),
        ("emerging.train.conll", "emerging.dev.conll", "emerging.test.annotated"),
        ("wnut_train.txt.gz", "wnut_valid.txt.gz", "wnut_test.txt.gz"),
    ],
)
def test_open_corpus_knows_the_names_that_corpora_are_distributed_by(tmp_path: Path, names: tuple[str, ...]) -> None:
    texts = [f"{split} O\nBonn B-LOC\n" for split in SPLITS]
    files = {n: gzip.compress(t.encode()) if n.endswith("gz") else t for n, t in zip(names, texts, strict=True)}
    found = read(open_corpus(data_params(fill(tmp_path / "c", files))))
    assert [found[split][0].words[0] for split in SPLITS] == list(SPLITS)


def test_open_corpus_reads_files_of_any_name_if_their_format_is_given(tmp_path: Path) -> None:
    notes = {"README.md": "no data", "LICENSE": "CC", "GUIDELINES.md": "no data", "how-to-tag.rst": "no data"}
    place = fill(tmp_path / "c", {f"{split}.ner": GOOD for split in SPLITS} | notes)
    assert set(read(open_corpus(data_params(place, format="conll")))) == set(SPLITS)


def test_marks_that_are_sentences_begin_documents_in_every_format(tmp_path: Path) -> None:
    sentences = [["-DOCSTART-"], ["a"], ["b"], ["-DOCSTART-"], ["c"]]
    files = {
        "x.jsonl": jsonl(*({"tokens": words, "tags": ["O"]} for words in sentences)),
        "x.parquet": parquet({"tokens": sentences, "tags": [["O"]] * 5}),
        "x.conll": "".join(f"{words[0]}\tO\n\n" for words in sentences),
    }
    for name, content in files.items():
        place = fill(tmp_path / name, {name: content})
        (block,) = [block for block, _ in open_corpus(data_params(place), allow_unsplit=True).blocks(Diagnostics())]
        assert [words for (words,) in block.words.to_pylist()] == ["a", "b", "c"]
        assert block.documents.tolist() == [0, 0, 1]


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_tables_number_documents_by_their_names(tmp_path: Path, suffix: str) -> None:
    content = {
        "parquet": parquet({"tokens": [["a"]] * 4, "tags": [["O"]] * 4, "doc_id": ["x", "x", "y", "x"]}),
        "csv": "tokens,tags,doc_id\n" + "".join(f"['a'],['O'],{name}\n" for name in "xxyx"),
    }[suffix]
    place = fill(tmp_path / "c", {f"x.{suffix}": content})
    (block,) = [block for block, _ in open_corpus(data_params(place), allow_unsplit=True).blocks(Diagnostics())]
    assert block.documents.tolist() == [0, 0, 1, 2]


def test_names_of_tags_that_do_not_occur_are_no_types(tmp_path: Path) -> None:
    """Hugging Face corpora name padding, or types of other splits, that no word has."""
    content = parquet({"tokens": [["Bonn", "rains"]], "ner_tags": [[1, 0]]}, names=["O", "B-LOC", "[PAD]", "B-ART"])
    place = fill(tmp_path / "c", {"x.parquet": content})
    (block,) = [block for block, _ in open_corpus(data_params(place), allow_unsplit=True).blocks(Diagnostics())]
    reader = TagReader()
    reader.learn(block)
    assert reader.labels == ["O", "B-LOC", "I-LOC"]
