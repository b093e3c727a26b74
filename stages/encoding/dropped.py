"""dropped.json beside the Arrow files: the first of the sentences that were left out for their faults, and why."""

from pathlib import Path

from stages.artifacts import read_json, write_json

FILE = "dropped.json"


def write_dropped(folder: Path, sentences: dict[str, list[str]]) -> None:
    """Write the file if there are any; `sentences` has by split lines such as `train.conll:3: a word of …`."""
    named = {split: lines for split, lines in sentences.items() if lines}
    if named:
        write_json(folder / FILE, named)


def read_dropped(folder: Path) -> dict[str, list[str]]:
    """Read what `write_dropped` wrote; empty if no sentence was left out. ArtifactError if the file is damaged."""
    return read_json(folder / FILE) if (folder / FILE).exists() else {}
