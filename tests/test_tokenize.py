"""The whole of tokenize on one file that it splits by hash, read in one block or in many."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipeline.checkout.params_file import apply_settings
from stages import tokenize
from stages.artifacts import folder_digest
from stages.corpus.readers import text_files
from stages.encoding.files import IGNORED, read_dropped, read_manifest
from stages.reporting.tables import describe_left_out
from tests.checkouts import DEMO, write_params

SPLITS = ("train", "dev", "test")


@pytest.fixture
def folder(tmp_path: Path, tiny_pretrained: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose corpus is one file with documents of five sentences."""
    sentences = (DEMO / "dev.conll").read_text(encoding="utf-8").strip().split("\n\n")
    marked = [f"-DOCSTART- O\n\n{text}" if number % 5 == 0 else text for number, text in enumerate(sentences)]
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus/all.conll").write_text("\n\n".join(marked) + "\n", encoding="utf-8")
    write_params(
        tmp_path,
        tiny_pretrained,
        **{"data.dir": "corpus", "data.split": "{dev: 0.2, test: 0.2, by: document}", "tokenize.context": "document"},
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tokenize.sync, "try_sync", lambda _: None)  # an MLflow store takes long to create
    return tmp_path


def encode(folder: Path) -> dict[str, list[dict[str, Any]]]:
    tokenize.main(Path("params.yaml"))
    return {
        split: pa.ipc.open_file(pa.memory_map(str(folder / f"data/encoded/{split}.arrow"))).read_all().to_pylist()
        for split in SPLITS
    }


def test_each_document_is_in_one_split_and_its_sentences_are_numbered_there_from_zero(folder: Path) -> None:
    rows = encode(folder)
    counts = read_manifest(folder / "data/encoded").counts
    texts = {split: [" ".join(words) for row in rows[split] for words in row["sentences"]] for split in SPLITS}
    plain = (DEMO / "dev.conll").read_text(encoding="utf-8").strip().split("\n\n")
    sentences = [" ".join(line.split(" ")[0] for line in text.split("\n")) for text in plain]
    assert sorted(text for split in SPLITS for text in texts[split]) == sorted(sentences)
    documents = [" / ".join(sentences[first : first + 5]) for first in range(0, len(sentences), 5)]
    for split in SPLITS:
        assert {" / ".join(texts[split][n : n + 5]) for n in range(0, len(texts[split]), 5)} <= set(documents)
        assert len(texts[split]) == counts[split]["sentences"]
        assert all(row["sentence"] < len(texts[split]) for row in rows[split])
        assert counts[split]["windows"] == len(rows[split])
        assert counts[split]["tokens"] == sum(len(row["input_ids"]) for row in rows[split])
        assert counts[split]["words"] == sum(label != IGNORED for row in rows[split] for label in row["labels"])


def test_encoding_does_not_depend_on_the_size_of_blocks(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Context reaches across the pieces that a file is read in."""
    whole = encode(folder)
    monkeypatch.setattr(text_files, "CHUNK", 700)
    assert encode(folder) == whole


@pytest.fixture
def write_corpus(folder: Path) -> Callable[..., None]:
    """Give the project another corpus, a file for each split, and set parameters."""

    def write_corpus(files: dict[str, str], *settings: str) -> None:
        shutil.rmtree("corpus")
        Path("corpus").mkdir()
        for name, text in files.items():
            Path("corpus", name).write_text(text, encoding="utf-8")
        reading = ("data.split=null", "tokenize.context=sentence", *settings)
        Path("params.yaml").write_text(apply_settings(Path("params.yaml"), reading), encoding="utf-8")

    return write_corpus


def sentences(count: int, prefix: str = "") -> str:
    return "".join(f"{prefix}w{n} B-X\n{prefix}rains O\n\n" for n in range(count))


def test_sentences_that_are_dropped_stand_in_log_manifest_and_a_file_beside_it(
    folder: Path, write_corpus: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    test = sentences(200) + "a B_X\n\n" + sentences(1)
    write_corpus({"train.conll": sentences(200), "test.conll": test}, "data.split={dev: 0.2}", "data.faulty=drop")
    rows = encode(folder)
    manifest = read_manifest(folder / "data/encoded")
    assert "dropped" not in manifest.counts["train"]
    assert (manifest.counts["test"]["dropped"], manifest.counts["test"]["sentences"]) == (1, 201)
    assert len(rows["test"]) == 201
    ((line,),) = read_dropped(folder / "data/encoded").values()
    assert line.startswith("test.conll:601: left out: 'B_X' is not a tag")
    assert f"warning: corpus/{line}" in caplog.text
    facts = describe_left_out(manifest.counts, read_dropped(folder / "data/encoded"), examples="Sentences")
    assert facts == [("Sentences left out", "1, for faults: test.conll:601")]
    assert f"dev is cut from train: {len(rows['dev'])} sentences" in caplog.text
    assert len(rows["dev"]) + len(rows["train"]) == 200


def test_nothing_is_said_of_dropping_where_nothing_was_dropped(folder: Path, write_corpus: Callable[..., None]) -> None:
    """So an encoding keeps its bytes, and its model stays fresh."""
    files = {f"{split}.conll": sentences(30) for split in SPLITS}
    written = []
    for faulty in ("refuse", "drop"):
        write_corpus(files, f"data.faulty={faulty}")
        encode(folder)
        written.append(folder_digest(folder / "data/encoded"))
    assert written[0] == written[1]
    assert read_dropped(folder / "data/encoded") == {}


def test_what_words_carry_is_logged_first_and_stripping_it_encodes_the_plain_words(
    folder: Path, write_corpus: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    write_corpus({f"{split}.conll": sentences(60, "de:") for split in SPLITS})
    encode(folder)
    assert "all 360 words begin with 'de:'" in caplog.records[0].getMessage()
    write_corpus({f"{split}.conll": sentences(60, "de:") for split in SPLITS}, 'data.strip_prefix="de:"')
    stripped = encode(folder)
    write_corpus({f"{split}.conll": sentences(60) for split in SPLITS}, "data.strip_prefix=null")
    assert encode(folder) == stripped
