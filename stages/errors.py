"""What a user can put right.

UserError
 +-- ParamsError      params.yaml or --set
 +-- CorpusError      the annotated text
 +-- PretrainedError  the pretrained weights or their tokenizer
 +-- ArtifactError    a file between stages: missing, damaged, of another version, or not writable
 +-- TrainingError    a training that cannot go on: diverged, out of memory
 +-- TryAgainError    nothing need be mended: the same may do later
      +-- RegistryError    MLflow: away, or without what was asked for

A message says what is wrong, where, and what to do next. Commands print it without a traceback and exit with 2, stages
with the `exit_code` of the error, by which whoever runs them knows whether to try again.
"""

import os
from collections.abc import Sequence

SHOWN = 20


class UserError(Exception):
    """A fault in the user's input or surroundings, with a message written for them."""

    exit_code = 2


class ParamsError(UserError):
    """params.yaml, or a value given with --set, is not usable."""


class CorpusError(UserError):
    """The annotated text is not usable."""


class PretrainedError(UserError):
    """The pretrained model is not the one that was asked for, or not usable."""


class ArtifactError(UserError):
    """A file between stages cannot be read or written."""


class TrainingError(UserError):
    """A training cannot go on as it was set up."""


class TryAgainError(UserError):
    """Something that was needed is not to be had now."""

    exit_code = os.EX_TEMPFAIL


class RegistryError(TryAgainError):
    """MLflow cannot be reached, or does not hold what was asked for."""


def first_line(error: Exception) -> str:
    """The first line of an error's message, or its kind where it has none."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def listed(heading: str, faults: Sequence[str], *, more: int = 0) -> str:
    """One message for all faults of an input: the first 20 in full, the rest and `more` of them counted."""
    lines = [heading, *(f"  {fault}" for fault in faults[:SHOWN])]
    rest = more + max(0, len(faults) - SHOWN)
    if rest:
        lines.append(f"  ... and {rest:,} more")
    return "\n".join(lines)
