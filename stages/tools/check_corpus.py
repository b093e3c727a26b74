"""check_corpus: the corpus of params.yaml -> its profile and diagnostics, as one JSON object on stdout."""

import json
from pathlib import Path
from typing import Any

from stages.config.tokenize import Params
from stages.corpus.profile import profile_corpus
from stages.corpus.reading import Corpus, open_corpus
from stages.corpus.text.diagnostics import Diagnostics
from stages.encoding.rows import frame_of
from stages.encoding.tokenizer import load_tokenizer
from stages.encoding.vocabulary import Vocabulary
from stages.errors import CorpusError, PretrainedError
from stages.modeling.pretrained import find_pretrained
from stages.params import load_params
from stages.runtime.entry_point import run_recipe
from stages.runtime.progress import progress_bar


def main(params_file: Path) -> None:
    """Read the corpus as tokenize would; errors do not stop it, they are among the diagnostics."""
    params = load_params(params_file, Params)
    diagnostics = Diagnostics()
    figures: dict[str, Any] = {"scheme": None, "window": None, "splits": {}}
    try:
        corpus = open_corpus(params.data, allow_unsplit=True)
    except CorpusError as error:
        diagnostics.add("error", "corpus", params.data.dir, str(error))
    else:
        figures = profile_figures(corpus, params, diagnostics)
    complete = not diagnostics.of("error")  # otherwise the figures are of the readable part
    output = {**figures, "dir": params.data.dir, "complete": complete, **diagnostics.to_json()}
    print(json.dumps(output, ensure_ascii=False))


def profile_figures(corpus: Corpus, params: Params, diagnostics: Diagnostics) -> dict[str, Any]:
    """Profile the corpus; without figures on tokens if the tokenizer cannot be loaded."""
    count_tokens, window = None, params.tokenize.window_length
    try:
        tokenizer = load_tokenizer(find_pretrained(**params.model.model_dump()))
    except PretrainedError as error:
        diagnostics.add("warning", "no-tokenizer", "model", f"tokens were not counted: {error}")
    else:
        count_tokens, window = Vocabulary(tokenizer).look_up, window - sum(map(len, frame_of(tokenizer)))
    with progress_bar(total=None, unit="word", description="check") as progress:
        profile = profile_corpus(
            corpus, diagnostics, count_tokens=count_tokens, context=params.tokenize.context, on_block=progress.update
        )
    return profile.to_json(window=window)


if __name__ == "__main__":
    run_recipe(main)
