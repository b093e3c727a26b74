from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from stages.artifacts import file_digest
from stages.corpus.text.sentences import SPLITS
from stages.encoding.files import (
    FORMAT_VERSION,
    SCHEMA,
    Manifest,
    read_manifest,
    read_split,
    split_writer,
    write_manifest,
)
from stages.errors import ArtifactError

ROWS = [
    {"input_ids": [2, 7, 8, 3], "labels": [-100, 1, 0, -100], "word_index": [-1, 0, 1, -1], "sentence": 0,
     "document": -1, "sentences": [["a", "b"]]},
    {"input_ids": [2, 9, 3], "labels": [-100, 2, -100], "word_index": [-1, 0, -1], "sentence": 1,
     "document": -1, "sentences": [["c"]]},
]  # fmt: skip


@pytest.fixture
def encoded(tmp_path: Path) -> Path:
    for split in SPLITS:
        with split_writer(tmp_path / f"{split}.arrow") as writer:
            writer.write_batch(pa.RecordBatch.from_pylist(ROWS, schema=SCHEMA))
    manifest = Manifest(
        format_version=FORMAT_VERSION,
        task="token_classification",
        labels=["O", "B-X", "I-X"],
        details={"scheme": "IOB2"},
        tokenizer_digest="0" * 64,
        parameters={"window_length": 64, "window_overlap": 16},
        counts={split: {"sentences": 2} for split in SPLITS},
        digests={split: file_digest(tmp_path / f"{split}.arrow") for split in SPLITS},
    )
    write_manifest(tmp_path, manifest)
    return tmp_path


def test_read_split_maps_what_was_written(encoded: Path) -> None:
    split = read_split(encoded, "train")
    assert split.lengths.tolist() == [4, 3]
    assert split.input_ids.tolist() == [2, 7, 8, 3, 2, 9, 3]
    assert split.labels.tolist() == [-100, 1, 0, -100, -100, 2, -100]
    assert split.sentence.tolist() == [0, 1]
    assert split.words.to_pylist() == [["a", "b"], ["c"]]
    assert split.word_counts.tolist() == [2, 1]
    assert not split.input_ids.flags.owndata  # mapped, not copied
    assert split.input_ids.dtype == np.int32


def test_read_split_joins_what_was_written_in_pieces(encoded: Path) -> None:
    with split_writer(encoded / "dev.arrow") as writer:
        for row in ROWS:
            writer.write_batch(pa.RecordBatch.from_pylist([row], schema=SCHEMA))
    whole, pieces = read_split(encoded, "train"), read_split(encoded, "dev")
    for name in ("offsets", "input_ids", "labels", "word_index", "sentence", "documents"):
        assert getattr(pieces, name).tolist() == getattr(whole, name).tolist()
    assert pieces.words == whole.words


def test_read_split_numbers_the_sentences_of_files_that_it_joins_one_after_another(encoded: Path) -> None:
    one, both = read_split(encoded, "train"), read_split(encoded, "train", "dev")
    assert both.sentence.tolist() == [0, 1, 2, 3]
    assert both.input_ids.tolist() == 2 * one.input_ids.tolist()
    assert both.words.to_pylist() == 2 * one.words.to_pylist()
    assert both.words_at(both.owners()).tolist() == list(range(6))


def test_manifest_digest_changes_with_any_field(encoded: Path) -> None:
    manifest = read_manifest(encoded)
    assert manifest.digest != replace(manifest, details={"scheme": "IOB1"}).digest
    assert manifest.digest != replace(manifest, digests=manifest.digests | {"test": "1" * 64}).digest


def test_read_manifest_refuses_an_arrow_file_that_it_does_not_describe(encoded: Path) -> None:
    damaged = bytearray((encoded / "dev.arrow").read_bytes())
    damaged[100] ^= 1
    (encoded / "dev.arrow").write_bytes(damaged)
    with pytest.raises(ArtifactError, match=r"dev\.arrow is not the file that .*manifest\.json describes"):
        read_manifest(encoded)


def test_read_manifest_refuses_another_format_version(encoded: Path) -> None:
    path = encoded / "manifest.json"
    path.write_text(path.read_text().replace(f'"format_version": {FORMAT_VERSION}', '"format_version": 99'))
    with pytest.raises(ArtifactError, match=f"has format version 99, this Tuneline reads {FORMAT_VERSION}"):
        read_manifest(encoded)


@pytest.mark.parametrize("content", [None, b"", b"not arrow at all"], ids=["absent", "empty", "other bytes"])
def test_read_split_refuses_what_is_no_arrow_file(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "train.arrow").write_bytes(content)
    with pytest.raises(ArtifactError, match=r"train\.arrow.*dvc repro tokenize"):
        read_split(tmp_path, "train")
