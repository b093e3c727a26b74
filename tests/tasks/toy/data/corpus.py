from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from stages.corpus.examples.readers.blocks import ExampleBlock
from stages.corpus.examples.reading import open_examples
from stages.corpus.splits import open_older
from stages.corpus.text.diagnostics import Diagnostics
from stages.encoding.examples import CheckedExamples, check_examples, describe_examples
from stages.encoding.text_rows import TextEncoder

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

NO_PROFILE: dict[str, Any] = {}


def check_corpus(params: Any, tokenizer: "PreTrainedTokenizerFast", *, is_older: bool = False) -> CheckedExamples:
    window = params.tokenize
    read = partial(open_examples, wanted="numbers")
    corpus = open_older(partial(read, allow_unsplit=True), params.data) if is_older else read(params.data)
    profile, diagnostics = check_examples(corpus, tokenizer, window_length=window.window_length, is_older=is_older)
    return CheckedExamples(
        corpus=corpus,
        profile=profile,
        diagnostics=diagnostics,
        encoder=TextEncoder(tokenizer, length=window.window_length, overlap=window.window_overlap, symmetric=False),
        labels=["number"],
        details={},
        answers_name="targets",
        encode_answers=encode_answers,
    )


def combine(
    corpora: Sequence[CheckedExamples], known: Sequence[str], decision: Mapping[str, Any]
) -> tuple[list[str], dict[str, Any]]:
    return corpora[0].labels, corpora[0].details


def profile(params: Any, tokenizer: "PreTrainedTokenizerFast | None", diagnostics: Diagnostics) -> dict[str, Any]:
    corpus = open_examples(params.data, wanted="numbers", allow_unsplit=True)
    return describe_examples(corpus, diagnostics, tokenizer, window_length=params.tokenize.window_length)


def encode_answers(block: ExampleBlock, _: Sequence[str]) -> pa.ListArray:
    return pa.array(np.rint(block.numbers).tolist(), pa.list_(pa.float64()))
