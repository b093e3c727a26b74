from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import processors
from transformers import PreTrainedTokenizerFast

from stages.encoding.text_rows import TextEncoder, template_of
from stages.encoding.texts import EncodedTexts, read_texts, text_schema, text_writer, texts_of
from stages.errors import ArtifactError, PretrainedError, UserError

WORDS = [
    "Munich",
    "and",
    "the",
    "town,",
    "don't",
    "\u4e2d\u6587",
    "<s>",
    "x",
    "  ",
    "antidisestablishmentarianism",
    "e\u0301",
]
TEXTS = st.lists(st.sampled_from(WORDS), max_size=40).map(" ".join)
few = settings(max_examples=30)  # of each of six tokenizers
PAIR_TEMPLATES = {
    "BERT": "<s>:0 $A:0 </s>:0 $B:1 </s>:1",
    "RoBERTa": "<s>:0 $A:0 </s>:0 </s>:0 $B:0 </s>:0",
}


@pytest.fixture(params=PAIR_TEMPLATES, scope="module")
def paired(request: pytest.FixtureRequest, tokenizer: PreTrainedTokenizerFast) -> PreTrainedTokenizerFast:
    backend = type(tokenizer.backend_tokenizer).from_str(tokenizer.backend_tokenizer.to_str())
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair=PAIR_TEMPLATES[request.param],
        special_tokens=[(name, backend.token_to_id(name)) for name in ("<s>", "</s>")],
    )
    return PreTrainedTokenizerFast(tokenizer_object=backend)


def encode(encoder: TextEncoder, texts: list[str], pairs: list[str] | None = None) -> EncodedTexts:
    columns = [pa.array(each, pa.string()) for each in (texts, pairs) if each is not None]
    return texts_of(pa.Table.from_batches([encoder.encode(*columns).rows()]))


def row(split: EncodedTexts, number: int) -> list[int]:
    ids: list[int] = split.input_ids[split.offsets[number] : split.offsets[number + 1]].tolist()
    return ids


@few
@given(st.lists(TEXTS, min_size=1, max_size=8))
def test_rows_of_short_texts_equal_the_tokenizers(paired: PreTrainedTokenizerFast, texts: list[str]) -> None:
    split = encode(TextEncoder(paired, length=2000, overlap=0), texts)
    assert [row(split, number) for number in range(len(texts))] == paired(texts)["input_ids"]
    assert split.texts.to_pylist() == texts
    assert (split.weight == 1).all()
    assert (split.second == -1).all()
    assert split.pairs is None


@few
@given(st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=8))
def test_rows_of_short_pairs_equal_the_tokenizers(
    paired: PreTrainedTokenizerFast, examples: list[tuple[str, str]]
) -> None:
    texts, pairs = map(list, zip(*examples, strict=True))
    split = encode(TextEncoder(paired, length=2000, overlap=0), texts, pairs)
    own = paired(texts, pairs, return_token_type_ids=True)
    assert [row(split, number) for number in range(len(texts))] == own["input_ids"]
    assert split.pairs is not None
    assert split.pairs.to_pylist() == pairs
    for number, types in enumerate(own["token_type_ids"]):
        assert (
            split.second[number] == paired(texts[number], pairs[number]).encodings[0].sequence_ids.index(1)
            if (paired(pairs[number], add_special_tokens=False)["input_ids"])
            else split.second[number] == len(types) - 1
        )
        if any(types):
            assert types == [int(place >= split.second[number]) for place in range(len(types))]


@few
@given(st.lists(TEXTS, min_size=1, max_size=6), st.integers(8, 30), st.integers(0, 15))
@example(["Munich Munich Munich Munich"], 8, 3)
def test_windows_rebuild_each_text(
    paired: PreTrainedTokenizerFast, texts: list[str], length: int, overlap: int
) -> None:
    split = encode(TextEncoder(paired, length=length, overlap=overlap), texts)
    assert split.texts.to_pylist() == texts
    assert split.lengths.max() <= length
    assert np.bincount(split.example, split.weight) == pytest.approx(np.ones(len(texts)))
    for number, text in enumerate(texts):
        rows = np.flatnonzero(split.example == number)
        assert split.window[rows].tolist() == list(range(len(rows)))
        expected = paired(text, add_special_tokens=False)["input_ids"]
        ends = {0}  # where the windows so far may end: in a text that repeats itself, there are several such places
        for each in rows:
            before, *content, after = row(split, each)
            assert [before, after] == paired("")["input_ids"]
            ends = {
                start + len(content)
                for end in ends
                for start in range(max(0, end - overlap), end + 1)
                if start + len(content) >= end and expected[start : start + len(content)] == content
            }
        assert len(expected) in ends  # the text is what the windows show, one after the other, less what they share


@few
@given(st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=6), st.integers(12, 40))
def test_symmetric_pairs_have_the_same_rows_in_either_order(
    paired: PreTrainedTokenizerFast, examples: list[tuple[str, str]], length: int
) -> None:
    texts, pairs = map(list, zip(*examples, strict=True))
    one_way = encode(TextEncoder(paired, length=length, overlap=4), texts, pairs)
    encoder = TextEncoder(paired, length=length, overlap=4, symmetric=True)
    split, exchanged = encode(encoder, texts, pairs), encode(encoder, pairs, texts)
    for name in ("offsets", "input_ids", "second", "example", "window", "weight"):
        assert (getattr(split, name) == getattr(exchanged, name)).all(), name
    assert np.bincount(split.example, split.weight) == pytest.approx(np.ones(len(texts)))
    assert len(split.window) == 2 * len(one_way.window)
    rows = [(number, row(split, each)) for each, number in enumerate(split.example)]
    assert all((number, row(one_way, each)) in rows for each, number in enumerate(one_way.example))
    assert split.texts.to_pylist() == texts
    assert split.first_rows.tolist() == [split.example.tolist().index(number) for number in range(len(texts))]


def test_rows_of_chosen_examples_are_numbered_from_first(paired: PreTrainedTokenizerFast) -> None:
    block = TextEncoder(paired, length=12, overlap=2).encode(pa.array(["Munich", "the town " * 20, "x"]))
    answers = pa.array([[1], [2, 0], []], pa.list_(pa.int32()))
    slices = {"source": pa.array(["web", "mail", ""]).dictionary_encode()}
    rows = block.rows(np.array([False, True, True]), first=7, answers=answers, slices=slices)
    split = texts_of(pa.Table.from_batches([rows]))
    assert set(split.example.tolist()) == {7, 8}
    assert split.texts.to_pylist() == ["the town " * 20, "x"]
    assert split.slices["source"].to_pylist() == ["mail", ""]
    assert split.example_answers.to_pylist() == [[2, 0], []]
    assert split.answers is not None
    assert len(split.answers) == len(rows)
    alone = block.rows(np.array([False, True, False]))  # as many rows as the block has examples, or more
    assert alone.column("text").null_count == len(alone) - 1


def test_an_empty_text_is_a_row_of_special_tokens(paired: PreTrainedTokenizerFast) -> None:
    encoder = TextEncoder(paired, length=12, overlap=2)
    assert row(encode(encoder, [""]), 0) == paired("")["input_ids"]
    assert row(encode(encoder, [""], [""]), 0) == paired([""], [""])["input_ids"][0]
    assert encode(encoder, []).lengths.tolist() == []


def test_split_written_is_read_back(paired: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    encoder = TextEncoder(paired, length=12, overlap=2)
    schema = text_schema("targets", ["region"])
    with text_writer(tmp_path / "train.arrow", schema) as writer:
        for first, texts in ((0, ["Munich", "the town " * 20]), (2, ["x"])):
            rows = encoder.encode(pa.array(texts), pa.array(texts)).rows(
                first=first,
                answers=pa.array([[0.5, first]] * len(texts), pa.list_(pa.float64())),
                slices={"region": pa.array(["north"] * len(texts)).dictionary_encode()},
            )
            assert rows.schema == schema
            writer.write_batch(rows)
    split = read_texts(tmp_path, "train")
    assert split.texts.to_pylist() == ["Munich", "the town " * 20, "x"]
    assert split.pairs is not None
    assert split.pairs.to_pylist() == split.texts.to_pylist()
    assert split.slices["region"].to_pylist() == ["north"] * 3
    assert split.example_answers.to_pylist() == [[0.5, 0], [0.5, 0], [0.5, 2]]
    assert split.lengths.sum() == len(split.input_ids)
    both = read_texts(tmp_path, "train", "train")
    assert both.example[both.window == 0].tolist() == list(range(6))
    assert both.texts.to_pylist() == 2 * split.texts.to_pylist()


def test_read_texts_names_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="no such file"):
        read_texts(tmp_path, "train")
    (tmp_path / "train.arrow").write_bytes(b"ARROW1 and no more")
    with pytest.raises(ArtifactError, match="is damaged"):
        read_texts(tmp_path, "train")
    with text_writer(tmp_path / "train.arrow", text_schema(None)):
        pass
    with pytest.raises(ArtifactError, match="another version"):
        read_texts(tmp_path, "train")


def test_template_refuses_a_tokenizer_that_exchanges_texts(paired: PreTrainedTokenizerFast) -> None:
    backend = type(paired.backend_tokenizer).from_str(paired.backend_tokenizer.to_str())
    backend.post_processor = processors.TemplateProcessing(single="$A", pair="$B $A", special_tokens=[])
    with pytest.raises(PretrainedError, match="in order"):
        template_of(PreTrainedTokenizerFast(tokenizer_object=backend), pairs=True)


@pytest.mark.parametrize("pairs", [False, True])
def test_inputs_become_rows_without_answers(paired: PreTrainedTokenizerFast, pairs: bool) -> None:
    encoder = TextEncoder(paired, length=12, overlap=2)
    given: list[Any] = [{"text": "Munich \ud83d", "pair": "x"}] if pairs else ["Munich \ud83d", {"text": "x"}]
    split = texts_of(encoder.encode_inputs(given, pairs=pairs))
    assert split.texts[0].as_py() == "Munich \ufffd"
    assert split.answers is None
    assert (split.pairs is not None) == pairs


def test_faults_of_inputs_are_reported_together(paired: PreTrainedTokenizerFast) -> None:
    encoder = TextEncoder(paired, length=12, overlap=2)
    with pytest.raises(UserError) as single:
        encoder.encode_inputs(["x", 3, None, {"txt": "x"}, {"text": "x", "pair": "y"}], pairs=False)
    assert [line.split(";")[0].strip() for line in str(single.value).splitlines()[1:]] == [
        "input 1: is of type int", "input 2: is of type NoneType", "input 3: has no text under `text`",
        "input 4: has pair beside",
    ]  # fmt: skip
    with pytest.raises(UserError, match=r"input 0: is one text.*\n.*input 1: has no text under `pair`"):
        encoder.encode_inputs(["x", {"text": "x"}], pairs=True)
