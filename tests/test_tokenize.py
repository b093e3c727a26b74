"""The whole of tokenize on one file that it splits by hash, read in one block or in many."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from stages import tokenize
from stages.corpus.readers import text_files
from stages.encoding.files import IGNORED, read_manifest
from tests.conftest import DEMO, write_params

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
        **{"data.dir": "corpus", "data.split": "{dev: 0.2, test: 0.2}", "tokenize.context": "document"},
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


def test_each_sentence_is_in_one_split_numbered_there_from_zero(folder: Path) -> None:
    rows = encode(folder)
    counts = read_manifest(folder / "data/encoded").counts
    texts = [" ".join(row["words"]) for split in SPLITS for row in rows[split] if row["window"] == 0]
    plain = (DEMO / "dev.conll").read_text(encoding="utf-8").strip().split("\n\n")
    assert sorted(texts) == sorted(" ".join(line.split(" ")[0] for line in text.split("\n")) for text in plain)
    for split in SPLITS:
        numbers = [row["sentence"] for row in rows[split] if row["window"] == 0]
        assert numbers == list(range(counts[split]["sentences"]))
        assert counts[split]["windows"] == len(rows[split])
        assert counts[split]["tokens"] == sum(len(row["input_ids"]) for row in rows[split])
        assert counts[split]["words"] == sum(label != IGNORED for row in rows[split] for label in row["labels"])


def test_encoding_does_not_depend_on_the_size_of_blocks(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Context reaches across the pieces that a file is read in."""
    whole = encode(folder)
    monkeypatch.setattr(text_files, "CHUNK", 700)
    assert encode(folder) == whole
