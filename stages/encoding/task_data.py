"""What the part `data.corpus` of a task offers to tokenize and to `tuneline check`."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from stages.corpus.text.diagnostics import Diagnostics

if TYPE_CHECKING:  # transformers takes a second to import
    from transformers import PreTrainedTokenizerFast


class CheckedCorpus(Protocol):
    """A corpus without faults, ready to be encoded."""

    @property
    def labels(self) -> list[str]:
        """The names of the model's outputs, in their order."""

    @property
    def details(self) -> dict[str, Any]:
        """What else later stages need to know of the corpus, in types that JSON takes.

        `config`, if there is one, holds fields for the model's config.json.
        """

    @property
    def progress(self) -> tuple[int, str]:
        """How many of what `encode` goes through, such as 12,000 words."""

    def encode(self, folder: Path, *, on_block: Callable[[int], object]) -> Mapping[str, Mapping[str, int]]:
        """Write an Arrow file for each split, and return its counts, those of windows and tokens among them.

        Calls `on_block` after each block with the progress that it makes.
        """


class TaskData(Protocol):
    """The part `data.corpus` of a task."""

    NO_PROFILE: Mapping[str, Any]  # the figures of `profile` where a corpus cannot be opened

    def check_corpus(self, params: Any, tokenizer: "PreTrainedTokenizerFast") -> CheckedCorpus:
        """Read the corpus of the params of tokenize once, and log warnings; one CorpusError reports all faults."""

    def profile(
        self, params: Any, tokenizer: "PreTrainedTokenizerFast | None", diagnostics: Diagnostics
    ) -> dict[str, Any]:
        """What a corpus contains, as `tuneline check` shows it; what is wrong with it becomes `diagnostics`.

        Without a tokenizer no tokens are counted. CorpusError if there is no corpus.
        """
