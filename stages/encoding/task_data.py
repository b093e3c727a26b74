"""What the part `data.corpus` of a task offers to tokenize and to `tuneline check`."""

from collections.abc import Callable, Mapping, Sequence
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
    def dropped(self) -> Mapping[str, list[str]]:
        """By split the first of the examples that were left out for their faults; see `write_dropped`."""

    @property
    def progress(self) -> tuple[int, str]:
        """How many of what `encode` goes through, such as 12,000 words."""

    def encode(
        self, folder: Path, *, labels: Sequence[str], names: Mapping[str, str], on_block: Callable[[int], object]
    ) -> Mapping[str, Mapping[str, int]]:
        """Write the Arrow file `NAME.arrow` of each split that `names` has, and return its counts by name.

        Those of windows and tokens are among them. `labels` are all that the answers may be, as `combine` returns
        them. Calls `on_block` after each block with the progress that it makes.
        """


class TaskData(Protocol):
    """The part `data.corpus` of a task."""

    NO_PROFILE: Mapping[str, Any]  # the figures of `profile` where a corpus cannot be opened

    def check_corpus(
        self, params: Any, tokenizer: "PreTrainedTokenizerFast", *, is_older: bool = False
    ) -> CheckedCorpus:
        """Read the corpus of the params of tokenize once, and log warnings; one CorpusError reports all faults.

        One that `is_older` may lack splits (see `open_older`), and there are no warnings.
        """

    def combine(
        self, corpora: Sequence[Any], known: Sequence[str], decision: Mapping[str, Any]
    ) -> tuple[list[str], dict[str, Any]]:
        """The labels and the details of a model that learns from these checked corpora, the first of which is new.

        `known` are the labels of the model that its training starts from, none without one, and `decision` is what was
        fitted for that (see `fit_decision`).
        """

    def profile(
        self, params: Any, tokenizer: "PreTrainedTokenizerFast | None", diagnostics: Diagnostics
    ) -> dict[str, Any]:
        """What a corpus contains, as `tuneline check` shows it; what is wrong with it becomes `diagnostics`.

        Without a tokenizer no tokens are counted. CorpusError if there is no corpus.
        """
