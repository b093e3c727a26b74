"""Corpora of texts with numbers as they are compared; see `Comparison` in stages/corpus/parts.py."""

from collections.abc import Mapping
from typing import Any

from stages.corpus.examples.comparing import ComparedExamples
from stages.corpus.examples.reading import open_examples
from stages.tasks.regression.data.params import DataParams


def open_compared(params: Mapping[str, Any], task: Mapping[str, Any]) -> ComparedExamples:  # noqa: ARG001 - as of any
    """The corpus that this section of the params names."""
    return ComparedExamples(open_examples(DataParams.model_validate(params), wanted="numbers"))
