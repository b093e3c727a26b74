"""check_corpus: the corpus of params.yaml -> what it holds and what is wrong with it, as one JSON object on stdout."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from stages.config.tokenize import Params
from stages.corpus.profile import profile_corpus
from stages.corpus.reading import Corpus, open_corpus
from stages.corpus.text.diagnostics import Diagnostics
from stages.encoding.rows import frame
from stages.encoding.tokenizer import load_tokenizer
from stages.encoding.vocabulary import Vocabulary
from stages.errors import CorpusError, PretrainedError
from stages.modeling.pretrained import find_pretrained
from stages.params import load_params
from stages.runtime.entry_point import run_recipe
from stages.runtime.progress import bar


def main(params_file: Path) -> None:
    """Read the corpus as tokenize would, without stopping at errors: they are among the diagnostics."""
    params = load_params(params_file, Params)
    diagnostics = Diagnostics()
    figures: dict[str, Any] = {"scheme": None, "window": None, "splits": {}}
    try:
        corpus = open_corpus(params.data, allow_unsplit=True)
    except CorpusError as error:
        diagnostics.add("error", "corpus", params.data.dir, str(error))
    else:
        figures = figures_of(corpus, params, diagnostics)
    found = {
        "dir": params.data.dir,
        "complete": not diagnostics.of("error"),  # else the figures are of what could be read
        "findings": [asdict(finding) for finding in diagnostics.kept],
        "counts": dict(diagnostics.counts),
    }
    print(json.dumps(figures | found, ensure_ascii=False))


def figures_of(corpus: Corpus, params: Params, diagnostics: Diagnostics) -> dict[str, Any]:
    """What the corpus holds; without figures on sub-words if there is no tokenizer to be had."""
    measure, window = None, params.tokenize.window_length
    try:
        tokenizer = load_tokenizer(find_pretrained(**params.model.model_dump()))
    except PretrainedError as error:
        diagnostics.add("warning", "no-tokenizer", "model", f"nothing can be said of sub-words: {error}")
    else:
        measure, window = Vocabulary(tokenizer).look_up, window - sum(map(len, frame(tokenizer)))
    with bar(total=None, unit="word", description="check") as progress:
        found = profile_corpus(
            corpus, diagnostics, measure=measure, context=params.tokenize.context, on_block=progress.update
        )
    return found.described(window=window)


if __name__ == "__main__":
    run_recipe(main)
