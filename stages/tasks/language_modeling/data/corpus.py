"""A corpus of raw text -> windows of tokens, with what may be masked in them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages.corpus.parts import name_file
from stages.corpus.splits import open_older
from stages.corpus.text.diagnostics import Diagnostics
from stages.corpus.warnings import log_warnings
from stages.encoding.texts import text_writer
from stages.errors import PretrainedError
from stages.runtime.prefetch import prefetch
from stages.runtime.progress import progress_bar
from stages.tasks.language_modeling.data.profile import RawProfile, profile_corpus
from stages.tasks.language_modeling.data.raw_corpus import RawCorpus, open_corpus
from stages.tasks.language_modeling.data.windows import SCHEMA, Tokens, WindowEncoder

if TYPE_CHECKING:  # transformers takes a second to import
    from transformers import PreTrainedTokenizerFast

LABELS = ["masked words"]  # the one thing that scores are of
NO_PROFILE: dict[str, Any] = {"window": None, "splits": {}}


@dataclass(frozen=True)
class CheckedText:
    """A corpus of raw text that was read once and has no faults."""

    corpus: RawCorpus
    profile: RawProfile
    encoder: WindowEncoder
    labels: list[str]
    details: dict[str, Any]

    @property
    def progress(self) -> tuple[int, str]:
        """The number of documents."""
        return len(self.profile.split_E), "document"

    @property
    def dropped(self) -> dict[str, list[str]]:
        """Nothing is left out."""
        return {}

    def encode(
        self,
        folder: Path,
        *,
        labels: Sequence[str],  # noqa: ARG002 - the masked words are the only ones
        names: Mapping[str, str],
        on_block: Callable[[int], object],
    ) -> dict[str, dict[str, int]]:
        """Write the Arrow file of each split that `names` has; return the counts by name.

        `tokens` includes special tokens. Calls `on_block` after each block with its number of documents. A window
        without a word that can be masked is left out.
        """
        counts = {
            names[split]: {"documents": own.documents, "windows": 0, "tokens": 0}
            for split, own in self.profile.splits.items()
            if split in names
        }
        numbers = {names[split]: number for number, split in enumerate(self.profile.splits) if split in names}
        diagnostics = Diagnostics()
        with ExitStack() as stack:
            writers = {name: stack.enter_context(text_writer(folder / f"{name}.arrow", SCHEMA)) for name in counts}
            for windows in self.encoder.windows(prefetch(self._tokens(diagnostics))):
                for name, count in counts.items():
                    number = numbers[name]
                    own = [
                        each for each in windows if self.profile.split_E[each.document] == number and each.can_be_masked
                    ]
                    if own:
                        places = [self._where(each.document) for each in own]
                        rows = self.encoder.rows(own, places, first=count["windows"])
                        writers[name].write_batch(rows)
                        count["windows"] += len(rows)
                        count["tokens"] += len(rows.column("input_ids").values)
                on_block(len({window.document for window in windows}))
        diagnostics.raise_errors(f"{self.corpus.place} has changed while it was read:")
        return counts

    def _where(self, document: int) -> str:
        """The file and the line where a document begins."""
        path = self.corpus.files[self.profile.file_E[document]][0]
        return f"{name_file(str(path), self.corpus.place)}:{self.profile.line_E[document]}"

    def _tokens(self, diagnostics: Diagnostics) -> Iterator[Tokens]:
        for block, document_P, _ in self.corpus.blocks(diagnostics):
            yield self.encoder.tokenize(block, document_P)


def check_corpus(params: Any, tokenizer: "PreTrainedTokenizerFast", *, is_older: bool = False) -> CheckedText:
    """Read the corpus once; log warnings, first those on the corpus as a whole; one CorpusError reports all faults."""
    if tokenizer.mask_token_id is None:
        raise PretrainedError("The tokenizer has no token for masks, so its encoder was no masked language model.")
    diagnostics = Diagnostics()
    corpus = open_older(partial(open_corpus, allow_unsplit=True), params.data) if is_older else open_corpus(params.data)
    encoder = WindowEncoder(tokenizer, length=params.tokenize.window_length)
    profile = _profile(corpus, diagnostics, encoder)
    if not is_older:
        log_warnings(diagnostics, headlines=True)
    diagnostics.raise_errors(f"{corpus.place} is not usable:")
    if not is_older:
        log_warnings(diagnostics, headlines=False)
    return CheckedText(
        corpus=corpus,
        profile=profile,
        encoder=encoder,
        labels=LABELS,
        details={"mask_id": tokenizer.mask_token_id, "vocabulary": len(tokenizer)},
    )


def combine(
    corpora: Sequence[CheckedText],
    known: Sequence[str],  # noqa: ARG001 - the same of every model
    decision: Mapping[str, Any],  # noqa: ARG001 - nothing is fitted
) -> tuple[list[str], dict[str, Any]]:
    """Those of the new corpus: the tokenizer decides what can be predicted."""
    return corpora[0].labels, corpora[0].details


def profile(params: Any, tokenizer: "PreTrainedTokenizerFast | None", diagnostics: Diagnostics) -> dict[str, Any]:
    """For each split its documents, words and tokens; CorpusError if there is no corpus."""
    corpus = open_corpus(params.data, allow_unsplit=True)
    encoder = WindowEncoder(tokenizer, length=params.tokenize.window_length) if tokenizer else None
    return _profile(corpus, diagnostics, encoder).to_json(window=encoder.capacity if encoder else None)


def _profile(corpus: RawCorpus, diagnostics: Diagnostics, encoder: WindowEncoder | None) -> RawProfile:
    with progress_bar(total=None, unit="document", description="check") as progress:
        return profile_corpus(
            corpus,
            diagnostics,
            encoder.count if encoder else None,
            window=encoder.capacity if encoder else 0,
            on_block=progress.update,
        )
