"""find_suspects: a trained pipeline -> the examples of a split whose answers are probably wrong, as one JSON object.

The encoded split does not say where its examples stand. The corpus is read again for that, in the same order, up to the
last example that is shown.

Like every stage it takes only a params file, whose one section is `find_suspects`.
"""

import json
from pathlib import Path
from typing import Any, cast

from stages.config import tokenize
from stages.config.find_suspects import Params
from stages.config.sections import load_task_params
from stages.corpus.parts import ComparedCorpus, Comparison
from stages.corpus.splits import TRAIN
from stages.corpus.text.diagnostics import Diagnostics
from stages.corpus.text.sentences import SPLITS
from stages.dynamics.files import read_dynamics
from stages.dynamics.suspects import Doubts, Suspects
from stages.encoding.files import read_manifest
from stages.errors import ArtifactError, ParamsError, UserError
from stages.params import load_params, read_document
from stages.runtime.entry_point import run_recipe
from stages.runtime.progress import progress_bar
from stages.scoring import Presentation
from stages.task import load_part
from stages.training.record import TrainingRecord, read_training

CHANGED = "Train on it as it is, then ask again: tuneline run"


def main(params_file: Path) -> None:
    """Find the suspects of the split, and where they stand; print them, the surest first."""
    params = load_params(params_file, Params).find_suspects
    place = Path(params.pipeline)
    if params.split not in SPLITS:
        raise UserError(f"--split {params.split}: no such split; there are {', '.join(SPLITS)}")
    record = read_training(place / "data/model")
    doubts = find_doubts(place, record, params.split)
    ranked = doubts.rank()
    shown = ranked[: params.limit] if params.limit else ranked
    entries = {int(number): doubts.show(int(number)) for number in shown}
    corpus, presentation = open_corpus(place, record.task), load_part(record.task, "presentation")
    places = find_places(corpus, entries, presentation, split=params.split, total=len(doubts.score_E))
    suspects = [
        {"where": places[number], "example": number + 1, "score": float(doubts.score_E[number]), **entry}
        for number, entry in entries.items()
    ]
    print(json.dumps({"split": params.split, "count": len(ranked), "suspects": suspects}, ensure_ascii=False))


def find_doubts(place: Path, record: TrainingRecord, split: str) -> Doubts:
    """The doubts about a split of the pipeline in `place`.

    ArtifactError if a file is missing or not of this model, ParamsError if its task cannot do this.
    """
    part = cast(Suspects, load_part(record.task, "tools.suspects"))
    if split != TRAIN:
        path = place / "data/report/predictions.parquet"
        return part.doubt_predictions(load_part(record.task, "scores.predictions").read_predictions(path)[split])
    dynamics = read_dynamics(place / "data/model")
    manifest = read_manifest(place / "data/encoded")
    if manifest.digests[TRAIN] != record.datasets[TRAIN]["digest"]:
        raise ArtifactError(f"{place / 'data/encoded'} is not what the model was trained on. {CHANGED}")
    return part.doubt_train(place / "data/encoded", manifest, dynamics)


def open_corpus(place: Path, task: str) -> ComparedCorpus:
    """The corpus that params.yaml names, in its own order.

    ParamsError if that file is not usable or is for another task, CorpusError if the corpus is missing.
    """
    path = place / "params.yaml"
    load_task_params(path, tokenize.Params)  # so that faults in its sections are reported
    document = read_document(path)
    if document["task"]["name"] != task:
        raise ParamsError(f"{path} is for {document['task']['name']}, the model for {task}. {CHANGED}")
    return cast(Comparison, load_part(task, "tools.comparison")).open_compared(document["data"], document["task"])


def find_places(
    corpus: ComparedCorpus, entries: dict[int, dict[str, Any]], presentation: Presentation, *, split: str, total: int
) -> dict[int, str]:
    """`file:line` of each entry; the keys are their numbers among the `total` examples of the split, from 0.

    UserError if the corpus holds others there.
    """
    places: dict[int, str] = {}
    start, number = 0, SPLITS.index(split)
    folder = corpus.place if corpus.place.is_dir() else corpus.place.parent
    with progress_bar(total=None, unit=corpus.unit, description="find") as progress:
        for block in corpus.blocks(Diagnostics()):
            own = (block.splits == number).nonzero()[0]
            for example in (each for each in entries if start <= each < start + len(own)):
                found = corpus.show(block, int(own[example - start]))
                places[example] = str(folder / found["where"])
                if not is_same(entries[example], found, presentation):
                    raise UserError(f"{places[example]} is not what the model saw: it was changed since. {CHANGED}")
            start += len(own)
            progress.update(block.size)
    if start != total:
        raise UserError(
            f"{corpus.place} has {start:,} examples in {split}, the model saw {total:,}: it was changed since. "
            + CHANGED
        )
    return places


def is_same(entry: dict[str, Any], found: dict[str, Any], presentation: Presentation) -> bool:
    """Whether an example of the corpus has the words or texts and the answer of an entry."""
    shown = [name for name in ("words", "text", "pair") if name in entry]
    return all(entry[name] == found.get(name) for name in shown) and presentation.read_answer(found) == entry["given"]


if __name__ == "__main__":
    run_recipe(main)
