"""The commands that list and use models: models, predict and mistakes."""

import shutil
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from pipeline.checkout.layout import PREDICTIONS, enter_root
from pipeline.terminal import MODEL, Json, err, make_table, out, print_json, program
from stages.errors import UserError

commands = typer.Typer()


@commands.command()
def models(as_json: Json = False) -> None:
    """List the versions of all registered models, with their aliases and entity F1."""
    from pipeline.registry.versions import list_versions
    from stages.tracking.client import shown_uri

    enter_root()
    versions = list_versions()
    if as_json:
        print_json({"models": [asdict(version) for version in versions]})
        return
    if not versions:
        out.print(f"No model in {shown_uri()} yet. Make one: {program('tuneline')} run")
        return
    table = make_table("name", "version", "aliases", "dev F1", "test F1", "digest")
    for version in versions:
        scores = [f"{version.scores[split]:.4f}" if split in version.scores else "" for split in ("dev", "test")]
        table.add_row(version.name, str(version.version), ", ".join(version.aliases), *scores, version.digest[:12])
    out.print(table)


@commands.command()
def predict(
    model: Annotated[str, MODEL],
    file: Annotated[
        typer.FileBinaryRead,
        typer.Argument(metavar="[FILE]", help="One text per line, in UTF-8; standard input by default."),
    ] = "-",  # type: ignore[assignment]  # click's name of standard input
    as_json: Json = False,
) -> None:
    """Find the entities in lines of text.

    Examples:

        echo "Angela Merkel visited Siemens in Munich." | tuneline predict demo-ner

        tuneline predict demo-ner@champion letters.txt --json
    """
    from pipeline.registry.versions import load_model

    texts = _read_lines(file)
    if not texts:
        err.print("no text: the input is empty")
    enter_root()
    predictions = load_model(model).predict(texts)
    if as_json:
        lines = [{"text": text, "entities": found} for text, found in zip(texts, predictions, strict=True)]
        print_json({"predictions": lines})
        return
    for text, found in zip(texts, predictions, strict=True):
        out.print(text)
        for entity in found:
            place = f"{entity['start']}-{entity['end']}"
            out.print(f"  {entity['type']:<8} {entity['text']}  ({place}, {entity['score']:.2f})")


def _read_lines(file: BinaryIO) -> list[str]:
    """The lines of a file, decoded as carefully as those of a corpus."""
    from stages.corpus.readers.text_files import open_data, read_text
    from stages.corpus.text.diagnostics import UnreadableError

    with tempfile.NamedTemporaryFile() as copy:
        path = Path(file.name)
        if file is sys.stdin.buffer:  # a pipe has no position, by which a corpus is read
            path = Path(copy.name)
            shutil.copyfileobj(file, copy)
            copy.flush()
        try:
            with open_data(path) as stream:
                text = "".join(piece for _, piece in read_text(path, stream))
        except UnreadableError as error:
            place = error.where.replace(copy.name, "standard input")
            raise UserError(f"{place}: {error.message.replace(copy.name, 'FILE')}") from None
    return text.removesuffix("\n").split("\n") if text else []


@commands.command()
def mistakes(
    split: Annotated[str, typer.Option(metavar="NAME", help="dev or test.")] = "test",
    kind: Annotated[
        str | None, typer.Option(metavar="KIND", help="Only type, boundary, boundary_and_type, missed or spurious.")
    ] = None,
    entity_type: Annotated[
        str | None, typer.Option("--type", metavar="TYPE", help="Only mistakes about this type.")
    ] = None,
    limit: Annotated[int, typer.Option(metavar="N", min=0, help="The number of sentences to show; 0 for all.")] = 20,
    as_json: Json = False,
) -> None:
    """Show the sentences with wrong predictions, the most confident ones first.

    Examples:

        tuneline mistakes

        tuneline mistakes --split dev --kind boundary --type ORG --limit 50
    """
    from rich.text import Text

    from pipeline.comparison.mistakes import find_mistakes, mark_entities

    enter_root()
    found = find_mistakes(PREDICTIONS, split=split, kind=kind, entity_type=entity_type)
    shown = found[:limit] if limit else found
    if as_json:
        print_json({"split": split, "count": len(found), "mistakes": shown})
        return
    for entry in shown:
        out.print(Text(f"{split} {entry['sentence']}: {', '.join(entry['kinds'])}", "bold"))
        out.print(Text(f"  gold       {mark_entities(entry['words'], entry['gold'])}"))
        out.print(Text(f"  predicted  {mark_entities(entry['words'], entry['predicted'])}"))
    out.print(f"{len(shown)} of {len(found)} sentences of {split} with such mistakes")
