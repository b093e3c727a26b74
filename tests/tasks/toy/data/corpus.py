from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from stages.corpus.examples.readers.blocks import ExampleBlock
from stages.corpus.examples.reading import open_examples
from stages.corpus.text.diagnostics import Diagnostics
from stages.encoding.examples import CheckedExamples, check_examples, describe_examples
from stages.encoding.text_rows import TextEncoder

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

NO_PROFILE: dict[str, Any] = {}


def check_corpus(params: Any, tokenizer: "PreTrainedTokenizerFast") -> CheckedExamples:
    window = params.tokenize
    corpus = open_examples(params.data, wanted="numbers")
    profile, diagnostics = check_examples(corpus, tokenizer, window_length=window.window_length)
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


def profile(params: Any, tokenizer: "PreTrainedTokenizerFast | None", diagnostics: Diagnostics) -> dict[str, Any]:
    corpus = open_examples(params.data, wanted="numbers", allow_unsplit=True)
    return describe_examples(corpus, diagnostics, tokenizer, window_length=params.tokenize.window_length)


def encode_answers(block: ExampleBlock) -> pa.ListArray:
    return pa.array(np.rint(block.numbers).tolist(), pa.list_(pa.float64()))
