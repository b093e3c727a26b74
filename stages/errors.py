"""Errors that a user can fix.

UserError
 +-- ParamsError      params.yaml or --set
 +-- CorpusError      the annotated text
 +-- PretrainedError  the pretrained weights or their tokenizer
 +-- ArtifactError    a file between stages: missing, damaged, of another version, or not writable
 +-- TrainingError    a training run that cannot continue: diverged, out of memory
 +-- RegistryError    MLflow refuses, or does not hold what was asked for
 +-- TryAgainError    there is nothing to fix: the same command may succeed later
      +-- RegistryUnavailableError    MLflow, also a RegistryError: it does not answer, or another process was faster

A message says what is wrong, where, and what to do next. Commands print it without a traceback and exit with 2, stages
with the `exit_code` of the error, which tells the caller whether to try again.
"""

import os
import re
from collections.abc import Sequence

# A name with bytes that are no UTF-8, as Python reads it from the file system.
FOREIGN_NAME = re.compile(r"[^\s'\"]*[\udc80-\udcff][^\s'\"]*")
SHOWN = 20  # faults of one kind that are listed in full; the rest are counted


class UserError(Exception):
    """A fault in the user's input or environment, with a message written for them."""

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
    """A training run cannot continue with these parameters."""


class TryAgainError(UserError):
    """A resource that is needed is unavailable at the moment."""

    exit_code = os.EX_TEMPFAIL


class RegistryError(UserError):
    """MLflow refuses, or does not hold what was asked for."""


class RegistryUnavailableError(RegistryError, TryAgainError):
    """MLflow does not answer, or another process has changed it meanwhile."""


def first_line(error: Exception) -> str:
    """Return the first line of an error's message, or its class where the message is empty."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def without_password(address: str) -> str:
    """An address with its user name and password masked, for messages."""
    return re.sub(r"(?<=://)[^/@]*@", "***@", address)


def show_name(name: str) -> str:
    """Return a name of a file for a message; bytes that are no UTF-8 appear as `\\xe9`."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def explain_encoding(error: UnicodeEncodeError) -> str:
    """Say why a text could not be written: by a name that is no UTF-8, or for a terminal that lacks its characters."""
    names = dict.fromkeys(FOREIGN_NAME.findall(error.object))
    if names:
        return (
            f"{', '.join(map(show_name, names))}: this name is not UTF-8, and neither params.yaml nor DVC nor MLflow "
            "can hold it. Rename the file or folder, then run again."
        )
    return f"{error}; if that is the encoding of your terminal, set PYTHONUTF8=1"


def list_faults(heading: str, faults: Sequence[str], *, more: int = 0) -> str:
    """Join all faults of an input into one message: the first 20 in full, the rest and `more` others counted."""
    lines = [heading, *(f"  {fault}" for fault in faults[:SHOWN])]
    rest = more + max(0, len(faults) - SHOWN)
    if rest:
        lines.append(f"  ... and {rest:,} more")
    return "\n".join(lines)
