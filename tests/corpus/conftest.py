"""Corpora in a temporary folder, and `tokenize` run over them in process."""

import io
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import strategies as st

from pipeline.checkout.params_file import apply_settings
from stages import tokenize
from stages.corpus.reading import Corpus, DataParams, SplitParams, open_corpus
from stages.corpus.text.diagnostics import Diagnostics
from stages.corpus.text.schemes import TagReader, spans
from stages.corpus.text.sentences import Sentence
from stages.runtime import entry_point
from tests.checkouts import write_params

Content = str | bytes | Callable[[Path], object]
Files = dict[str, Content]
Refuse = Callable[..., str]

GOOD = "Angela B-PER\nMerkel I-PER\nvisited O\nBonn B-LOC\n\nrain O\n"
REST: Files = {"dev.conll": GOOD, "test.conll": GOOD}
NAMES = ["O", "B-LOC", "I-LOC"]

Tagged = tuple[tuple[str, ...], tuple[tuple[int, int, str], ...], int]
Pairs = list[list[tuple[str, str]]]  # of each sentence its words with their tags
WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\0\t\n\r\x1f\ufeff"), min_size=1, max_size=8).filter(
    # The last two at its start would make a file another format.
    lambda word: word.strip() and not word.startswith(("-DOCSTART-", '{"', "PAR1"))
)
TAGS = st.sampled_from(["O", "B-PER", "I-PER", "B-creative-work", "I-creative-work"])
SENTENCES = st.lists(st.lists(st.tuples(WORDS, TAGS), min_size=1, max_size=6), min_size=1, max_size=6)
NASTY: Pairs = [
    [("O'Neil", "B-PER"), ('"', "O"), ("'", "O"), ("\\", "O"), ('it\'s "so"', "I-PER")],
    [("[", "O"), ("]", "O"), (",", "O"), ("...", "O"), ("'],['", "O"), ("\\n", "O"), ("\\", "O"), ("x\\'", "O")],
    [("None", "O"), ("nan", "O"), ("1", "O"), ("N/A", "O"), ("true", "O")],
    [("a\u2028b", "B-creative-work"), ("New\u00a0York", "I-creative-work"), ("👩\u200d🔬", "O"), ("\u200b", "O")],
    [("wort" * 20, "O")] * 40,
]


def pairs(sentences: list[Sentence]) -> Pairs:
    return [list(zip(sentence.words, sentence.tags, strict=True)) for sentence in sentences]


def lists(sentences: Pairs) -> dict[str, list[list[str]]]:
    return {
        "tokens": [[word for word, _ in sentence] for sentence in sentences],
        "ner_tags": [[tag for _, tag in sentence] for sentence in sentences],
    }


def jsonl(*records: Any) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


def parquet(columns: dict[str, Any], *, names: list[str] | None = None) -> bytes:
    """A Parquet file, with the names of its tag numbers as Hugging Face datasets note them."""
    table = pa.table(columns)
    if names:
        feature = {"feature": {"names": names, "_type": "ClassLabel"}, "_type": "List"}
        described = json.dumps({"info": {"features": {"ner_tags": feature}}})
        table = table.replace_schema_metadata({"huggingface": described})
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue()


def fill(folder: Path, files: Files) -> Path:
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        if callable(content):
            content(folder / name)
        else:
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def data_params(place: Path, *, split: SplitParams | None = None, **parameters: Any) -> DataParams:
    shares = split and split.model_dump()
    return DataParams(
        **{"dir": str(place), "format": "auto", "words": "auto", "tags": "auto", "split": shares, **parameters}
    )


def read(corpus: Corpus, diagnostics: Diagnostics | None = None) -> dict[str, list[Sentence]]:
    """All sentences by split; where the caller does not look at the diagnostics, none may be an error."""
    collected = Diagnostics() if diagnostics is None else diagnostics
    splits: dict[str, list[Sentence]] = {split: [] for split in corpus.splits}
    for block, split_S in corpus.blocks(collected):
        for sentence, number in zip(block.sentences(), split_S, strict=True):
            splits[corpus.splits[number]].append(sentence)
    assert diagnostics is not None or not collected.of("error"), collected.kept
    return splits


def read_file(path: Path, diagnostics: Diagnostics | None = None, **parameters: Any) -> list[Sentence]:
    """The sentences of one file."""
    return read(open_corpus(data_params(path, **parameters), allow_unsplit=True), diagnostics)["all"]


def case_list(*tables: dict[str, Any]) -> list[Any]:
    """Cases by name as pytest takes them."""
    return [pytest.param(*case, id=name) for table in tables for name, case in table.items()]


@pytest.fixture(scope="session")
def params_file(tmp_path_factory: pytest.TempPathFactory, tiny_pretrained: Path) -> Path:
    folder = tmp_path_factory.mktemp("params")
    write_params(folder, tiny_pretrained, **{"data.dir": "corpus"})
    return folder / "params.yaml"


@pytest.fixture
def refuse(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], params_file: Path
) -> Refuse:
    """What tokenize says on stderr as it refuses these files under these params, having written nothing."""

    def refuse(files: Files, changes: dict[str, Any] | None = None) -> str:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["stage"])
        text = apply_settings(params_file, [f"{key}={value}" for key, value in (changes or {}).items()])
        fill(Path("corpus"), files)
        Path("params.yaml").write_text(text, encoding="utf-8")
        before = sorted(Path().rglob("*"))
        started = time.monotonic()
        with pytest.raises(SystemExit) as exit_:
            entry_point.run_recipe(tokenize.main)
        shown = capsys.readouterr()
        assert exit_.value.code == 2, shown
        assert shown.out == ""
        assert "Traceback" not in shown.err
        assert shown.err.count("error: ") == 1
        assert max(map(len, shown.err.splitlines())) < 500
        assert sorted(Path().rglob("*")) == before
        assert time.monotonic() - started < 30  # a hang, or a bomb unpacked to the end
        return shown.err

    return refuse


def content(place: Path) -> dict[str, list[Tagged]]:
    """The sentences of each split: words, entities, and which document of the split it is of."""
    corpus = open_corpus(
        DataParams(dir=str(place), format="auto", words="auto", tags="auto", split=None), allow_unsplit=True
    )
    diagnostics, reader = Diagnostics(), TagReader()
    found: dict[str, list[Tagged]] = {split: [] for split in corpus.splits}
    documents: dict[str, list[object]] = {split: [object()] for split in corpus.splits}
    for block, split_S in corpus.blocks(diagnostics):
        entities = reader.read(block)
        names = list(reader.types)
        edges = [
            (int(start), int(end), names[entities.types[start]]) for start, end in zip(*spans(entities), strict=True)
        ]
        for number, sentence in enumerate(block.sentences()):
            first, end = map(int, block.offsets[number : number + 2])
            inside = []
            while edges and edges[0][0] < end:
                start, stop, kind = edges.pop(0)
                inside.append((start - first, stop - first, kind))
            split = corpus.splits[split_S[number]]
            document = block.documents[number]
            key = (block.source, int(document)) if document >= 0 else object()
            if key != documents[split][-1]:
                documents[split].append(key)
            found[split].append((sentence.words, tuple(inside), len(documents[split]) - 1))
    assert diagnostics.of("error") == []
    return found
