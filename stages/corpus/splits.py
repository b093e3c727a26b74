"""Which file, or which sentence of it, is of which split."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from stages.corpus.folder import DataFile, group_by_split
from stages.corpus.text.diagnostics import suggest_run
from stages.corpus.text.sentences import SPLITS, UInt64s
from stages.errors import CorpusError, list_faults
from stages.params import Section

TRAIN = SPLITS[0]
UNSPLIT = "all"
BY_HASH = -1  # in place of the number of a split: the hash of each sentence decides
SUGGESTED_SHARE = 0.1
SMALL = 1 << 20  # bytes of text; of more, each share of it has some sentence

Int8s = npt.NDArray[np.int8]


class HasSplits(Protocol):
    """A corpus of any task."""

    @property
    def splits(self) -> tuple[str, ...]:
        """The names of its splits."""


C = TypeVar("C", bound=HasSplits)


class SplitParams(Section):
    """The shares of the sentences that become dev and test where no file is that split; the rest becomes train."""

    dev: float | None = Field(default=None, gt=0, lt=1)
    test: float | None = Field(default=None, gt=0, lt=1)

    @model_validator(mode="after")
    def _leaves_train(self) -> "SplitParams":
        if not self.shares:
            raise ValueError("needs a share for dev or test, such as {dev: 0.1}; null where each split has its file")
        if sum(self.shares.values()) >= 1:
            raise ValueError("dev and test together must leave something for train")
        return self

    @property
    def shares(self) -> dict[str, float]:
        """The share of each split that is to be cut."""
        return {name: share for name, share in (("dev", self.dev), ("test", self.test)) if share is not None}


class SentenceSplitParams(SplitParams):
    """The shares of a corpus of sentences: each has a hash of its own, or that of its document."""

    by: Literal["sentence", "document"] = "sentence"


@dataclass(frozen=True)
class SplitFiles:
    """The splits of a corpus in order, and its files, each with the place of its split in `splits` or BY_HASH."""

    splits: tuple[str, ...]
    files: list[tuple[Path, int]]
    ignored: list[Path] = field(default_factory=list)  # files of no split, where others name one


def assign_splits(
    place: Path, files: list[DataFile], params: SplitParams | None, *, allow_missing: bool = False
) -> SplitFiles:
    """Assign each file to a split, or to the hash that cuts from train what no file is.

    What a file is stays whole. CorpusError, with the command that helps, if a split is missing or there twice. With
    `allow_missing` a corpus may lack dev or test, unless `params` name shares; one without both has the split "all".
    """
    if not any(file.split in SPLITS[1:] for file in files):
        return _split_whole(place, files, params, allow_missing=allow_missing)
    named, unnamed = [file for file in files if file.split], [file for file in files if not file.split]
    if len(unnamed) == 1 and not any(file.split == TRAIN for file in named):
        named, unnamed = [replace(unnamed[0], split=TRAIN), *named], []
    splits, faults = group_by_split(place, named)
    shares = params.shares if params else {}
    if twice := [name for name in shares if name in splits]:
        raise CorpusError(_describe_twice(place, list(splits), twice, shares))
    missing = [name for name in SPLITS if name not in splits and name not in shares]
    if TRAIN in missing or (missing and (params or not allow_missing)):
        faults += [f"{place / name}.*: no such file" for name in missing]
        faults.append(_describe_remedy(place, unnamed, missing, shares))
    if faults:
        raise CorpusError(list_faults(f"{place} does not hold one each of train, dev and test:", faults))
    present = tuple(name for name in SPLITS if name in splits or name in shares)
    numbered = [
        (path, BY_HASH if shares and name == TRAIN else present.index(name))
        for name in present
        for path in splits.get(name, [])
    ]
    return SplitFiles(present, numbered, [file.path for file in unnamed])


def open_older(open_corpus: Callable[[Any], C], params: Any) -> C:
    """Open a corpus that an earlier model may have learnt from, with the section `data` of the one that is new.

    It has the splits of its files. One without is divided by `data.split`, as it was for the earlier model, so that no
    example of its train is scored; where that does not cut both dev and test, it has the one split "all".
    """
    corpus = open_corpus(params.model_copy(update={"split": None}))
    is_cut = params.split is not None and len(params.split.shares) == len(SPLITS[1:])
    return open_corpus(params) if is_cut and corpus.splits == (UNSPLIT,) else corpus


def split_numbers(digests: UInt64s, params: SplitParams) -> Int8s:
    """[S] 0, 1 or 2 for train, dev or test. A digest alone decides, whatever the rest of the corpus."""
    dev, test = params.dev or 0.0, params.test or 0.0
    position = digests / 2.0**64
    numbers: Int8s = np.select([position < test, position < test + dev], [2, 1], 0).astype(np.int8)
    return numbers


def raise_shares(params: SplitParams, digests: UInt64s) -> SplitParams:
    """Return the shares, raised where they would give dev or test none of these sentences; one is taken then."""
    positions = np.unique(digests) / 2.0**64
    ends, start = {"test": 0.0, "dev": 0.0}, 0.0
    for name in [name for name in ends if name in params.shares]:  # in the order of `split_numbers`
        end = start + params.shares[name]
        behind = positions[positions >= start]
        if len(behind) and behind[0] >= end:
            end = (behind[0] + [*behind, 1.0][1]) / 2
        ends[name], start = end - start, end
    # Not validated: they may leave train nothing.
    return SplitParams.model_construct(dev=ends["dev"] or None, test=ends["test"] or None)


def suggest_split(place: Path, shares: Mapping[str, float], **others: str) -> str:
    """Return the command that trains on a corpus and cuts these shares from train; `others` are keys beside them."""
    values = {name: f"{share:g}" for name, share in shares.items()} | others
    return suggest_run(place, f"data.split={{{', '.join(f'{name}: {value}' for name, value in values.items())}}}")


def _split_whole(place: Path, files: list[DataFile], params: SplitParams | None, *, allow_missing: bool) -> SplitFiles:
    """All files of a corpus in which none is dev or test."""
    names = ", ".join(file.path.name for file in files)[:200]
    if params is None and allow_missing:
        return SplitFiles((UNSPLIT,), [(file.path, 0) for file in files])
    shares = params.shares if params else {}
    missing = [name for name in SPLITS[1:] if name not in shares]
    if missing:
        command = suggest_split(place, {name: shares.get(name, SUGGESTED_SHARE) for name in SPLITS[1:]})
        what = "train, dev and test" if params is None else f"{missing[0]}, and data.split has no share for it"
        raise CorpusError(f"{place} holds {names}, but no {what}. Split it by a hash of each example: {command}")
    return SplitFiles(SPLITS, [(file.path, BY_HASH) for file in files])


def _describe_twice(place: Path, present: list[str], twice: list[str], shares: Mapping[str, float]) -> str:
    """Say that splits have both a file and a share."""
    if set(present) == set(SPLITS):
        return (
            f"{place} holds files of {' and '.join(sorted(present))}, so data.split must be null: "
            "--set data.split=null. To split it differently, give the files other names."
        )
    wanted = {name: shares.get(name, SUGGESTED_SHARE) for name in SPLITS[1:] if name not in present}
    return (
        f"{place} holds files of {' and '.join(twice)}, which stay whole, so data.split must leave out "
        f"{' and '.join(twice)}: {suggest_split(place, wanted)}"
    )


def _describe_remedy(place: Path, unnamed: list[DataFile], missing: list[str], shares: Mapping[str, float]) -> str:
    if TRAIN in missing:
        names = ", ".join(file.path.name for file in unnamed)[:200]
        which = f"; {names} say no split" if names else ""
        return f"Give the file of train a name that begins with train{which}."
    wanted = {name: shares.get(name, SUGGESTED_SHARE) for name in SPLITS[1:] if name in missing or name in shares}
    return f"Cut {' and '.join(missing)} from train by a hash of each example: {suggest_split(place, wanted)}"
