"""check_corpus: the corpus of params.yaml -> its profile and diagnostics, as one JSON object on stdout."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, cast

from stages.config.sections import load_task_params
from stages.config.tokenize import Params
from stages.corpus.text.diagnostics import Diagnostics, UnreadableError
from stages.encoding.task_data import TaskData
from stages.encoding.tokenizer import load_tokenizer
from stages.errors import CorpusError, PretrainedError
from stages.modeling.pretrained import find_pretrained
from stages.runtime.entry_point import run_recipe
from stages.task import load_part
from stages.tracking.parent import fetch_parent

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


def main(params_file: Path) -> None:
    """Read the corpus as tokenize would; errors do not stop it, they are among the diagnostics."""
    params = load_task_params(params_file, Params)
    folder: str = params.data.model_dump()["dir"]
    diagnostics = Diagnostics()
    tokenizer = find_tokenizer(params, diagnostics)
    data = cast(TaskData, load_part(params.task.name, "data.corpus"))
    figures = data.NO_PROFILE
    try:
        figures = data.profile(params, tokenizer, diagnostics)
    except UnreadableError as error:
        diagnostics.add("error", error.code, error.where, error.message)
    except CorpusError as error:
        diagnostics.add("error", "corpus", folder, str(error).removeprefix(f"{folder}: "))
    complete = not diagnostics.of("error")  # otherwise the figures are of the readable part
    output = {"task": params.task.name, **figures, "dir": folder, "complete": complete, **diagnostics.to_json()}
    print(json.dumps(output, ensure_ascii=False))


def find_tokenizer(params: Params, diagnostics: Diagnostics) -> "PreTrainedTokenizerFast | None":
    """The tokenizer of the encoder; if it cannot be loaded, a warning and none."""
    try:
        fetch_parent(params.model.encoder, task=params.task.name)
        return load_tokenizer(find_pretrained(**params.model.encoder))
    except PretrainedError as error:
        diagnostics.add("warning", "no-tokenizer", "model", f"tokens were not counted: {error}")
        return None


if __name__ == "__main__":
    run_recipe(main)
