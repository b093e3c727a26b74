"""A corpus of texts with labels -> windows of tokens with the ids of the labels."""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from stages.corpus.examples.figures import ExampleProfile
from stages.corpus.examples.reading import open_examples
from stages.corpus.splits import TRAIN, UNSPLIT, open_older
from stages.corpus.text.diagnostics import Diagnostics
from stages.corpus.type_names import format_type, require_shared
from stages.encoding.examples import CheckedExamples, check_examples, describe_examples
from stages.encoding.text_rows import TextEncoder
from stages.tasks.text_classification.data.rows import label_ids

if TYPE_CHECKING:  # transformers takes a second to import
    from transformers import PreTrainedTokenizerFast

SHOWN_LABELS = 20
NO_PROFILE: dict[str, Any] = {"labels": [], "window": None, "splits": {}}

log = logging.getLogger("tokenize")


def check_corpus(params: Any, tokenizer: "PreTrainedTokenizerFast", *, is_older: bool = False) -> CheckedExamples:
    """Read the corpus once; log warnings, first those on the corpus as a whole; one CorpusError reports all faults."""
    task, window = params.task, params.tokenize
    read = partial(open_examples, wanted="labels", multi_label=task.multi_label, symmetric=task.symmetric)
    corpus = open_older(partial(read, allow_unsplit=True), params.data) if is_older else read(params.data)
    profile, diagnostics = check_examples(corpus, tokenizer, window_length=window.window_length, is_older=is_older)
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
            "label_counts": _count_taught(profile, labels),
            "config": {"text_pair": params.data.text_pair is not None},
        },
        answers_name="labels",
        encode_answers=lambda block, names: label_ids(block.labels, names),
    )


def combine(
    corpora: Sequence[CheckedExamples], known: Sequence[str], _: Mapping[str, Any]
) -> tuple[list[str], dict[str, Any]]:
    """The labels of all corpora and of the model that training starts from, with their counts in train of all."""
    for older in corpora[1:]:
        require_shared(older.corpus.place, older.labels, {*known, *corpora[0].labels})
    labels = sorted({label for each in corpora for label in each.labels} | set(known))
    counts = sum((Counter(_count_taught(each.profile, labels)) for each in corpora), Counter[str]())
    return labels, corpora[0].details | {"label_counts": {label: counts[label] for label in labels}}


def _count_taught(profile: ExampleProfile, labels: Sequence[str]) -> dict[str, int]:
    """How many examples of train each label has; of a corpus without splits all are train."""
    taught = next((profile.splits[name] for name in (TRAIN, UNSPLIT) if name in profile.splits), None)
    return {label: taught.labels[label] if taught else 0 for label in labels}


def profile(params: Any, tokenizer: "PreTrainedTokenizerFast | None", diagnostics: Diagnostics) -> dict[str, Any]:
    """For each split its texts, labels and tokens; CorpusError if there is no corpus."""
    task = params.task
    corpus = open_examples(
        params.data, wanted="labels", multi_label=task.multi_label, symmetric=task.symmetric, allow_unsplit=True
    )
    return describe_examples(corpus, diagnostics, tokenizer, window_length=params.tokenize.window_length)
