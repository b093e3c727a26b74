"""The examples of formats in data/corpora/README.md and in `tuneline check --help` are read as they say."""

import re
from pathlib import Path
from textwrap import dedent

import pytest

from pipeline.cli.formats import FORMATS
from stages.corpus.folder import FORMATS as FORMAT_OF
from stages.corpus.reading import READERS, DataParams, open_corpus
from stages.corpus.text.diagnostics import Diagnostics
from tests.checkouts import ROOT

PAGE = (ROOT / "data/corpora/README.md").read_text(encoding="utf-8")
SECTION = PAGE[PAGE.index("## Formats") : PAGE.index("## Labelled texts")]
SUFFIXES = {"Angela ": "conll", '{"': "jsonl", "[": "json", "tokens,": "csv", "T1\t": "ann"}
EXAMPLES = [
    (suffix, block)
    for block in [
        *re.findall(r"```\n(.*?)```", SECTION, re.DOTALL),
        *(dedent(block) for block in re.findall(r"(?:^    .*\n)+", FORMATS, re.MULTILINE)),
    ]
    for start, suffix in SUFFIXES.items()
    if block.startswith(start)
]


def test_each_format_has_its_example_in_both_places() -> None:
    assert [suffix for suffix, _ in EXAMPLES] == ["conll", "jsonl", "json", "csv", "ann"] * 2
    assert {FORMAT_OF[suffix] for suffix, _ in EXAMPLES} | {"parquet"} == set(READERS)  # Parquet is no text


@pytest.mark.parametrize(("suffix", "text"), EXAMPLES)
def test_documented_example_is_read(tmp_path: Path, suffix: str, text: str) -> None:
    (tmp_path / f"all.{suffix}").write_text(text, encoding="utf-8")
    if suffix == "ann":
        (tmp_path / "all.txt").write_text("Angela Merkel visited", encoding="utf-8")  # both places quote its beginning
    params = DataParams(dir=str(tmp_path), format="auto", words="auto", tags="auto", split=None)
    diagnostics = Diagnostics()
    sentences = [
        sentence
        for block, _ in open_corpus(params, allow_unsplit=True).blocks(diagnostics)
        for sentence in block.sentences()
    ]
    assert diagnostics.kept == []
    assert all("PER" in tag or tag == "O" for tag in sentences[0].tags)
    assert sentences[0].words[0] == "Angela"
    assert sentences[0].tags[0] == "B-PER"
