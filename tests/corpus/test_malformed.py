"""Malformed corpora: each is refused with one message that says what and where, and nothing is written.

Here files, folders and CoNLL columns; test_malformed_records.py has JSON, Parquet and CSV.
"""

import gzip
import os
import zlib
from pathlib import Path
from typing import Any

import pytest

from tests.corpus.conftest import GOOD, REST, Files, Refuse, case_list, jsonl, parquet

LISTS = {"tokens": [["Bonn", "rains"]], "ner_tags": [["B-LOC", "O"]]}
SHARES = "{dev: 0.1, test: 0.1}"
PACKED = gzip.compress((GOOD * 2000).encode())


def conll(text: str | bytes) -> Files:
    return REST | {"train.conll": text}


def bomb(unit: bytes) -> bytes:
    """300 MB in 300 KB: a megabyte deflated once, and that block again and again."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    block = packer.compress(unit * ((1 << 20) // len(unit))) + packer.flush(zlib.Z_FULL_FLUSH)
    return b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + block * 300 + b"\x03\0" + bytes(8)


TEXT_CASES: dict[str, tuple[Files, str]] = {
    "UTF-8 cut off": (
        conll(GOOD.encode() + b"M\xc3"),
        "train.conll:7: not UTF-8 (unexpected end of data: c3). The file is cut off",
    ),
    "Latin-1": (
        conll("a O\nMünchen B-LOC\n".encode("latin-1")),
        "train.conll:2: not UTF-8 (invalid start byte: fc 6e 63 68). As Windows-1252 the line is 'München B-LOC'",
    ),
    "BOM, then Latin-1": (
        conll(b"\xef\xbb\xbf" + "a O\nMünchen B-LOC\n".encode("latin-1")),
        "train.conll:2: not UTF-8 (invalid start byte: fc 6e 63 68)",
    ),
    "UTF-16 with BOM": (conll(GOOD.encode("utf-16")), "train.conll: is UTF-16, not UTF-8 text"),
    "NUL": (conll("a O\nb\0c O\n"), "train.conll:2: holds a NUL byte"),
    "word cut by a carriage return": (conll("a O\nBo\rnn B-LOC\n"), "train.conll:2: needs 2 columns, has 1: 'Bo'"),
    "tag without type": (conll(GOOD + "\nBonn B-\n"), "train.conll:8: 'B-' is not a tag"),
    "bare B": (conll(GOOD + "\nBonn B\n"), "train.conll:8: 'B' is not a tag"),
    "unknown prefix": (conll(GOOD + "\nBonn X-LOC\n"), "train.conll:8: 'X-LOC' is not a tag; tags are O, B-TYPE"),
    "tags first, words last": (conll("B-LOC Bonn\nO rains\n"), "train.conll:1: 'Bonn' is not a tag"),
    "bad tag beside a good column of chunks": (
        conll("Bonn NNP I-NP B-LOC\nrains VBZ I-VP O\nin IN I-PP O\nRome NNP I-NP B-\n"),
        "train.conll:4: 'B-' is not a tag",
    ),
    "columns shifted in a line": (
        conll("Bonn B-LOC NNP\nrains O VBZ\nRome NNP B-LOC\nsnow O NN\n"),
        "train.conll:3: 'NNP' is not a tag",
    ),
    "column too few": (
        conll("Bonn NNP B-LOC\nrains O\nhere RB O\n"),
        "train.conll:2: needs 3 columns, has 2: 'rains O'",
    ),
    "column too many": (
        conll("Bonn NNP B-LOC\nNew York NNP B-LOC\nhere RB O\n"),
        "train.conll:2: needs 3 columns, has 4: 'New York NNP B-LOC'",
    ),
    "comment in a sentence": (
        conll("Bonn B-LOC\n#rainy\nrains O\n"),
        "train.conll:2: needs 2 columns, has 1: '#rainy'",
    ),
    "words alone": (conll("Bonn\nrains\n"), "train.conll:1: needs 2 columns, has 1: 'Bonn'"),
    "every word is O": (
        conll("a O\n\nb O\n") | {"dev.conll": "c O\n", "test.conll": "d O\n"},
        "corpus: every word is tagged O, so there is nothing to learn",
    ),
    "empty file": (conll(""), "train.conll: is empty"),
    "file of blank lines": (conll("\n \n\t\n"), "train.conll: is empty"),
    "long file of blank lines": (conll("\n" * 10_000), "corpus: no sentence in train"),
    "comments alone": (conll("# a comment on it all\n\n"), "corpus: no sentence in train"),
    "1 MB line": (conll("Bonn B-LOC\n" + "x" * (1 << 20) + "\n"), "train.conll:2: needs 2 columns, has 1: 'xxx"),
    "1 MB word": (
        conll("Bonn B-LOC\n" + "x" * (1 << 20) + " O\n"),
        "train.conll:2: a word of over 1,000 characters: 'xxx",
    ),
    "word of a no-break space": (
        conll("Bonn\tB-LOC\n\u00a0\tO\n"),
        "train.conll:2: a word of white space alone: '\\xa0'",
    ),
    "no blank line": (conll("Bonn B-LOC\n" * 20_001), "train.conll:1: a sentence of over 20,000 words, breaks lost?"),
}

GZIP_CASES: dict[str, tuple[Files, str]] = {
    "cut off": (REST | {"train.conll.gz": PACKED[:-100]}, "train.conll.gz: the gzip is damaged or cut off"),
    "wrong CRC": (
        REST | {"train.conll.gz": PACKED[:-8] + bytes(4) + PACKED[-4:]},
        "train.conll.gz: the gzip is damaged or cut off (CRC check failed",
    ),
    "damaged": (
        REST | {"train.conll.gz": PACKED[:500] + b"\xff" * 50 + PACKED[550:]},
        "train.conll.gz: the gzip is damaged",
    ),
    "rubbish behind it": (REST | {"train.conll.gz": PACKED + b"rubbish"}, "train.conll.gz: the gzip is damaged"),
    "bomb of zeros": (REST | {"train.conll.gz": bomb(b"\0")}, "train.conll.gz: unpacks to over 200 times its size"),
    "bomb of lines": (REST | {"train.conll.gz": bomb(b"a O\n")}, "train.conll.gz: unpacks to over 200 times its size"),
    "bomb of sentences": (
        REST | {"train.conll.gz": bomb(b"a O\n\n\n\n")},
        "train.conll.gz: unpacks to over 200 times its size",
    ),
    "bomb of Parquet": (
        REST | {"train.parquet.gz": bomb(b"PAR1")},
        "train.parquet.gz: unpacks to over 200 times its size",
    ),
    "gzip in a gzip": (REST | {"train.conll.gz": gzip.compress(PACKED)}, "train.conll.gz: is a gzip within a gzip"),
    "zip": (
        REST | {"train.conll": b"PK\x03\x04" + bytes(100)},
        "train.conll: is a zip archive, not UTF-8 text. Unpack it",
    ),
    "zip as Parquet": (REST | {"train.parquet": b"PK\x03\x04" + bytes(100)}, "train.parquet: is"),
}

FOLDER_CASES: dict[str, tuple[Files, str]] = {
    "train twice": (
        conll(GOOD) | {"train.jsonl": "{}"},
        "corpus: train.conll, train.jsonl all name the train split; keep one of them",
    ),
    "dev twice": (
        conll(GOOD) | {"valid.conll": GOOD},
        "corpus: dev.conll, valid.conll all name the dev split; keep one",
    ),
    "shard missing": (
        REST | {"train-00000-of-00003.conll": GOOD, "train-00002-of-00003.conll": GOOD},
        "corpus: 2 of 3 shards of the train split are there",
    ),
    "shard twice": (
        REST | {"train-0.conll": GOOD, "train_0.conll": GOOD},
        "train-0.conll, train_0.conll: a shard is there twice",
    ),
    "no dev": ({"train.conll": GOOD, "test.conll": GOOD}, "corpus/dev.*: no such file"),
    "broken link": (
        {"train.conll": lambda path: path.symlink_to("nowhere")} | REST,
        "train.conll: cannot be read: No such file or directory; it is a broken link",
    ),
    "no data file": (
        {"README.md": "nothing here"},
        "corpus: no annotated text in it. Files that are read end in jsonl",
    ),
    "a folder by the name of a file": (
        REST | {"train.conll": lambda path: path.mkdir()},
        "corpus/train.*: no such file",
    ),
}

PARAMETER_CASES: dict[str, tuple[Files, dict[str, Any], str]] = {
    "column that is not there": (
        conll(GOOD),
        {"data.tags": 7},
        "train.conll: has 2 columns, and data.tags names column 7",
    ),
    "name for a column": (
        conll(GOOD),
        {"data.words": "tokens"},
        "train.conll: its columns have no names; data.words must be a number, not 'tokens'",
    ),
    "columns exchanged": (conll(GOOD), {"data.words": 2, "data.tags": 1}, "train.conll:1: 'Angela' is not a tag"),
    "field that is not there": (
        REST | {"train.jsonl": jsonl({"tokens": ["a"], "tags": ["O"]})},
        {"data.tags": "ner"},
        "train.jsonl:1: holds tokens, tags, but no 'ner', which data.tags names",
    ),
    "Parquet column that is not there": (
        REST | {"train.parquet": parquet(LISTS)},
        {"data.tags": "ner"},
        "train.parquet: holds tokens, ner_tags, but no 'ner', which data.tags names",
    ),
    "Parquet columns exchanged": (
        REST | {"train.parquet": parquet(LISTS)},
        {"data.words": "ner_tags", "data.tags": "tokens"},
        "train.parquet:1: 'Bonn' is not a tag",
    ),
    "column 0": (conll(GOOD), {"data.words": 0}, "columns count from 1"),
    "splits and shares": (
        conll(GOOD),
        {"data.split": "{dev: 0.1, test: 0.1}"},
        "corpus holds files of dev and test and train, so data.split must be null",
    ),
    "shares of 1": (
        {"all.conll": GOOD},
        {"data.split": "{dev: 0.5, test: 0.5}"},
        "dev and test together must leave something for train",
    ),
    "share missing": ({"all.conll": GOOD}, {"data.split": "{dev: 0.1}"}, "no test, and data.split has no share for it"),
    "no share at all": ({"all.conll": GOOD}, {"data.split": "{}"}, "needs a share for dev or test"),
    "prefix that no word has": (conll(GOOD), {"data.strip_prefix": '"de:"'}, "data.strip_prefix=de: fits no word"),
    "type that MLflow cannot hold": (conll(f"a B-{'x' * 256}\n"), {}, "has a name of 256 characters"),
    "shares too small": (
        {"all.conll": GOOD},
        {"data.split": "{dev: 0.001, test: 0.001}"},
        "no sentence in train. Equal sentences stay in one split, and there are 2 distinct ones",
    ),
    "no splits": (
        {"all.conll": GOOD},
        {},
        "corpus holds all.conll, but no train, dev and test. Split it by a hash of each example: "
        "tuneline run --set data.dir=corpus --set 'data.split={dev: 0.1, test: 0.1}'",
    ),
    "train alone": ({"train.conll": GOOD}, {}, "--set 'data.split={dev: 0.1, test: 0.1}'"),
    "no folder": ({}, {"data.dir": "nowhere"}, "nowhere: no such file or folder. Check data.dir"),
    "folder broken link": (
        {"link": lambda path: path.symlink_to("nowhere")},
        {"data.dir": "corpus/link"},
        "corpus/link: no such file or folder. It is a broken link.",
    ),
    "unknown extension": (
        {"all.xml": "<a/>"},
        {"data.dir": "corpus/all.xml", "data.split": SHARES},
        "all.xml: ends in none of jsonl, ndjson, json, parquet, csv, ann, conll",
    ),
    "Parquet that is text": (conll(GOOD), {"data.format": "parquet"}, "train.conll: is not a complete Parquet file"),
    "text that is Parquet": (
        REST | {"train.parquet": parquet(LISTS)},
        {"data.format": "conll"},
        "train.parquet:1: holds a NUL byte",
    ),
    "JSON that is CoNLL": (conll(GOOD), {"data.format": "jsonl"}, "train.conll:1: not JSON"),
}


@pytest.mark.parametrize(("files", "message"), case_list(TEXT_CASES, GZIP_CASES, FOLDER_CASES))
def test_tokenize_refuses_malformed_files(refuse: Refuse, files: Files, message: str) -> None:
    assert message in refuse(files)


@pytest.mark.parametrize(("files", "changes", "message"), case_list(PARAMETER_CASES))
def test_tokenize_refuses_parameters_that_do_not_fit(
    refuse: Refuse, files: Files, changes: dict[str, Any], message: str
) -> None:
    assert message in refuse(files, changes)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
@pytest.mark.parametrize("name", [".", "train.conll"])
def test_tokenize_refuses_what_it_may_not_read(refuse: Refuse, tmp_path: Path, name: str) -> None:
    place = tmp_path / "corpus" / name
    try:
        shown = refuse(conll(GOOD) | {"lock": lambda _: place.chmod(0)})
    finally:
        place.chmod(0o700)
    assert f"{Path('corpus') / name}: cannot be read: Permission denied" in shown


def test_tokenize_reports_all_faults_of_all_files_at_once(refuse: Refuse) -> None:
    shown = refuse(
        {
            "train.conll": "Bonn B-\nalone\n\nRome X-LOC\n",
            "dev.jsonl": '{"tokens": ["a"], "tags": []}\n{"text": "a", "label": [[0, 2, "LOC"]]}\nno JSON\n',
            "test-0.conll": "",
            "test-1.parquet": parquet({"tokens": LISTS["tokens"]}),
        }
    )
    assert [line.split(": ")[0].strip() for line in shown.splitlines()] == [
        "error",
        "corpus/train.conll:2",
        "corpus/train.conll:1",
        "corpus/train.conll:4",
        "corpus/dev.jsonl:1",
        "corpus/dev.jsonl:2",
        "corpus/dev.jsonl:3",
        "corpus/test-0.conll",
        "corpus/test-1.parquet",
    ]


def test_tokenize_shows_twenty_faults_and_counts_the_rest(refuse: Refuse) -> None:
    shown = refuse(conll("a b c\n" + "a O\n" * 50 + "x\n" * 1234))
    assert shown.count("needs 2 columns") == 20
    assert "... and 1,215 more" in shown
