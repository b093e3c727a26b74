"""rescore: a model folder, and the examples on which another model was scored -> its predictions for them, as Parquet.

This allows two models that were evaluated on different test sets to be compared on one. The examples come from the
predictions.parquet of the other model, with their gold answers. They are encoded with the tokenizer and the windows of
this model and predicted as in evaluate, with `auto` for device and precision.

Like every stage it takes only a params file, whose one section is `rescore`. It prints the number of examples as one
JSON object on stdout.
"""

import json
from pathlib import Path
from typing import Any

from stages.artifacts import atomic_write
from stages.config.rescore import Params
from stages.errors import ArtifactError
from stages.modeling.device import set_deterministic
from stages.params import load_params
from stages.runtime.entry_point import run_recipe
from stages.task import load_part
from stages.training.record import read_training


def main(params_file: Path) -> None:
    """Read the examples, predict them with the model, write the predictions."""
    params = load_params(params_file, Params).rescore
    folder = Path(params.model)
    record = read_training(folder)
    files = load_part(record.task, "scores.predictions")
    scored = select_split(files.read_predictions(Path(params.sentences)), params.split, params.sentences)
    set_deterministic(seed=0, threads=record.threads)  # as in evaluate, so that sums are rounded alike
    predictions = load_part(record.task, "service.rescoring").rescore(scored, folder)
    with atomic_write(Path(params.output)) as path:
        files.write_predictions(path, {params.split: predictions})
    print(json.dumps({"examples": len(load_part(record.task, "scores.scoring").list_texts(predictions))}))


def select_split(splits: dict[str, Any], split: str, path: str) -> Any:
    """The predictions of the other model for a split; ArtifactError if the file has no such split."""
    if split not in splits:
        raise ArtifactError(f"{path} has no examples of split '{split}', only of {' and '.join(splits) or 'none'}.")
    return splits[split]


if __name__ == "__main__":
    run_recipe(main)
