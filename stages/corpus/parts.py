"""The parts of a task with which tools treat its corpora.

They are `tools.importing`, `tools.conversion`, `tools.comparison` and `tools.annotation`.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from stages.corpus.splits import Int8s
from stages.corpus.text.diagnostics import Diagnostics
from stages.corpus.text.sentences import UInt64s


class Importing(Protocol):
    """The part `tools.importing`: how a source may be read. The command line imports it, so it imports little."""

    READING: Mapping[str, Any]  # parameters that an import takes -> their values where the user says nothing
    ALWAYS_RECORDED: Collection[str]  # of these; provenance.json has of the others what differs
    KEEPS_FILES: bool  # whether the files stay as they are, so that the copy is read with the same parameters
    HAS_CLASS_FOLDERS: bool  # whether the folders of a source may be classes, or hold files without an extension
    MODEL_SUFFIX: str  # of the name of a model that is trained on a corpus


class Conversion(Protocol):
    """The part `tools.conversion`."""

    def convert(self, params_file: Path, folder: Path) -> dict[str, Any]:
        """Read the corpus of a file with the parameters of `Importing.READING`, and write it into the new `folder`.

        Returns its profile, with the diagnostics. CorpusError with all faults, ParamsError if the file is not usable;
        `folder` then does not exist.
        """


@dataclass(frozen=True)
class ComparedBlock:
    """Consecutive examples of one file, N of them, as they are compared."""

    splits: Int8s  # [N] by their place in `SPLITS`
    texts: UInt64s  # [N] digests of what an example consists of beside its gold answer
    answers: UInt64s  # [N] digests of the gold answers
    size: int  # how far a progress bar moves
    examples: Any  # what `ComparedCorpus.show` takes


class ComparedCorpus(Protocol):
    """A corpus as two of one task are compared."""

    place: Path
    unit: str  # of `ComparedBlock.size`
    example: str  # what the task calls an example

    def blocks(self, diagnostics: Diagnostics) -> Iterator[ComparedBlock]:
        """Yield the blocks, the same at each call; faults become `diagnostics`."""

    def show(self, block: ComparedBlock, number: int) -> dict[str, Any]:
        """An example of a block in types that JSON takes: its text, its gold answer, and `where` it is."""


class Comparison(Protocol):
    """The part `tools.comparison`."""

    def open_compared(self, params: Mapping[str, Any], task: Mapping[str, Any]) -> ComparedCorpus:
        """A corpus by the sections `data` and `task` of a params file; CorpusError if it is missing.

        pydantic's ValidationError if the sections are not those of this task.
        """


@dataclass(frozen=True)
class LabelStudioTask:
    """An example for Label Studio: its data, and the results of two answers: regions, choices or numbers."""

    data: dict[str, Any]
    given: list[dict[str, Any]]
    likely: list[dict[str, Any]]


class Annotation(Protocol):
    """The part `tools.annotation`: examples for the tools of annotators, so that their exports are read again.

    An `entry` has the words or texts of an example, and the answers `given` and `likely`, as
    `stages.tools.find_suspects` prints them.
    """

    def label_studio(self, entry: Mapping[str, Any]) -> LabelStudioTask:
        """The example for Label Studio."""

    def configure_label_studio(self, entries: Sequence[Mapping[str, Any]]) -> str:
        """The labelling configuration of a project for these examples, in XML."""

    def doccano(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        """The example with its given answer for doccano; UserError if it cannot hold such answers."""


def name_file(source: str, place: Path) -> str:
    """The path of a file within the corpus at `place`, or its name if it is the whole corpus."""
    path = Path(source)
    return path.name if path == place else path.relative_to(place).as_posix()
