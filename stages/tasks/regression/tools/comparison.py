"""Corpora of texts with numbers as they are compared; see `Comparison` in stages/corpus/parts.py."""

from collections.abc import Mapping
from typing import Any

from stages.corpus.examples.comparing import ComparedExamples
from stages.corpus.examples.reading import open_examples
from stages.tasks.regression.data.params import DataParams


def open_compared(params: Mapping[str, Any], task: Mapping[str, Any]) -> ComparedExamples:
    """The corpus that these sections of the params name."""
    data = DataParams.model_validate(params)
    return ComparedExamples(open_examples(data, wanted="numbers", symmetric=task["symmetric"]))
