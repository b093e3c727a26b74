"""A corpus of texts with numbers -> windows of tokens with the numbers."""

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from stages.corpus.examples.readers.blocks import ExampleBlock
from stages.corpus.examples.reading import open_examples
from stages.corpus.splits import open_older
from stages.corpus.text.diagnostics import Diagnostics
from stages.encoding.examples import CheckedExamples, check_examples, describe_examples
from stages.encoding.text_rows import TextEncoder
from stages.tasks.regression.data.rows import targets_of

if TYPE_CHECKING:  # transformers takes a second to import
    from transformers import PreTrainedTokenizerFast

NO_PROFILE: dict[str, Any] = {"targets": [], "window": None, "splits": {}}

log = logging.getLogger("tokenize")


def check_corpus(params: Any, tokenizer: "PreTrainedTokenizerFast", *, is_older: bool = False) -> CheckedExamples:
    """Read the corpus once; log warnings, first those on the corpus as a whole; one CorpusError reports all faults."""
    task, window = params.task, params.tokenize
    read = partial(open_examples, wanted="numbers", symmetric=task.symmetric)
    corpus = open_older(partial(read, allow_unsplit=True), params.data) if is_older else read(params.data)
    profile, diagnostics = check_examples(corpus, tokenizer, window_length=window.window_length, is_older=is_older)
    targets = profile.target_names
    numbers = [found.to_json() for found in next(iter(profile.splits.values())).numbers]
    for name, figures in zip(targets, numbers, strict=True):
        log.info("%s: %s is %.4g on average, from %.4g to %.4g", corpus.place, name, *_range(figures))
    return CheckedExamples(
        corpus=corpus,
        profile=profile,
        diagnostics=diagnostics,
        encoder=TextEncoder(
            tokenizer, length=window.window_length, overlap=window.window_overlap, symmetric=task.symmetric
        ),
        labels=targets,
        details={
            "targets": targets,
            "means": [figures["mean"] for figures in numbers],
            "deviations": [figures["deviation"] for figures in numbers],
            "unit": task.unit,
            "config": {"text_pair": params.data.text_pair is not None},
        },
        answers_name="targets",
        encode_answers=_encode_targets,
    )


def combine(
    corpora: Sequence[CheckedExamples], known: Sequence[str], decision: Mapping[str, Any]
) -> tuple[list[str], dict[str, Any]]:
    """The targets of the new corpus: without a number for each text nothing else can be learnt.

    Those that the model had keep its mean and deviation, so that its outputs mean what they did.
    """
    details = dict(corpora[0].details)
    for key in ("means", "deviations"):
        before = dict(zip(known, decision.get(key, ()), strict=False))
        details[key] = [before.get(name, own) for name, own in zip(details["targets"], details[key], strict=True)]
    return corpora[0].labels, details


def profile(params: Any, tokenizer: "PreTrainedTokenizerFast | None", diagnostics: Diagnostics) -> dict[str, Any]:
    """For each split its texts, numbers and tokens; CorpusError if there is no corpus."""
    corpus = open_examples(params.data, wanted="numbers", symmetric=params.task.symmetric, allow_unsplit=True)
    return describe_examples(corpus, diagnostics, tokenizer, window_length=params.tokenize.window_length)


def _encode_targets(block: ExampleBlock, _: Sequence[str]) -> pa.ListArray:
    assert block.numbers is not None
    return targets_of(block.numbers)


def _range(figures: dict[str, float]) -> tuple[float, float, float]:
    return figures["mean"], figures["min"], figures["max"]
