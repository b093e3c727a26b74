"""Corpora of texts with labels as they are compared; see `Comparison` in stages/corpus/parts.py."""

from collections.abc import Mapping
from typing import Any

from stages.corpus.examples.comparing import ComparedExamples
from stages.corpus.examples.reading import open_examples
from stages.tasks.text_classification.data.params import DataParams


def open_compared(params: Mapping[str, Any], task: Mapping[str, Any]) -> ComparedExamples:
    """The corpus that these sections of the params name."""
    data = DataParams.model_validate(params)
    corpus = open_examples(data, wanted="labels", multi_label=task["multi_label"], symmetric=task["symmetric"])
    return ComparedExamples(corpus)
