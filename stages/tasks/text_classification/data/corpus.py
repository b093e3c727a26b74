"""A corpus of texts with labels -> windows of tokens with the ids of the labels."""

import logging
from typing import TYPE_CHECKING, Any

from stages.corpus.examples.reading import open_examples
from stages.corpus.text.diagnostics import Diagnostics
from stages.corpus.type_names import format_type
from stages.encoding.examples import CheckedExamples, check_examples, describe_examples
from stages.encoding.text_rows import TextEncoder
from stages.tasks.text_classification.data.rows import label_ids

if TYPE_CHECKING:  # transformers takes a second to import
    from transformers import PreTrainedTokenizerFast

SHOWN_LABELS = 20
NO_PROFILE: dict[str, Any] = {"labels": [], "window": None, "splits": {}}

log = logging.getLogger("tokenize")


def check_corpus(params: Any, tokenizer: "PreTrainedTokenizerFast") -> CheckedExamples:
    """Read the corpus once; log warnings, first those on the corpus as a whole; one CorpusError reports all faults."""
    task, window = params.task, params.tokenize
    corpus = open_examples(params.data, wanted="labels", multi_label=task.multi_label, symmetric=task.symmetric)
    profile, diagnostics = check_examples(corpus, tokenizer, window_length=window.window_length)
    labels = profile.labels
    more = f" and {len(labels) - SHOWN_LABELS} more" if len(labels) > SHOWN_LABELS else ""
    log.info(
        "%s has %d labels: %s%s", corpus.place, len(labels), ", ".join(map(format_type, labels[:SHOWN_LABELS])), more
    )
    return CheckedExamples(
        corpus=corpus,
        profile=profile,
        diagnostics=diagnostics,
        encoder=TextEncoder(
            tokenizer, length=window.window_length, overlap=window.window_overlap, symmetric=task.symmetric
        ),
        labels=labels,
        details={
            "multi_label": task.multi_label,
            "label_counts": {label: profile.splits["train"].labels[label] for label in labels},
            "config": {"text_pair": params.data.text_pair is not None},
        },
        answers_name="labels",
        encode_answers=lambda block: label_ids(block.labels, labels),
    )


def profile(params: Any, tokenizer: "PreTrainedTokenizerFast | None", diagnostics: Diagnostics) -> dict[str, Any]:
    """For each split its texts, labels and tokens; CorpusError if there is no corpus."""
    task = params.task
    corpus = open_examples(
        params.data, wanted="labels", multi_label=task.multi_label, symmetric=task.symmetric, allow_unsplit=True
    )
    return describe_examples(corpus, diagnostics, tokenizer, window_length=params.tokenize.window_length)
