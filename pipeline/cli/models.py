"""The commands that list and use models: models, predict and mistakes."""

from dataclasses import asdict
from typing import Annotated

import typer

from pipeline.checkout.layout import PREDICTIONS, enter_root
from pipeline.terminal import MODEL, Json, out, print_json, program

commands = typer.Typer()


@commands.command()
def models(as_json: Json = False) -> None:
    """List the versions of all registered models, with their aliases and entity F1."""
    from rich.table import Table

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
    table = Table("name", "version", "aliases", "dev F1", "test F1", "digest", box=None, pad_edge=False)
    for version in versions:
        scores = [f"{version.scores[split]:.4f}" if split in version.scores else "" for split in ("dev", "test")]
        table.add_row(version.name, str(version.version), ", ".join(version.aliases), *scores, version.digest[:12])
    out.print(table)


@commands.command()
def predict(
    model: Annotated[str, MODEL],
    file: Annotated[
        typer.FileText,
        typer.Argument(metavar="[FILE]", encoding="utf-8", help="One text per line; standard input by default."),
    ] = "-",  # type: ignore[assignment]  # click's name of standard input
    as_json: Json = False,
) -> None:
    """Find the entities in lines of text.

    Examples:

        echo "Angela Merkel visited Siemens in Munich." | tuneline predict demo-ner

        tuneline predict demo-ner@champion letters.txt --json
    """
    from pipeline.registry.versions import load_model

    texts = [line.rstrip("\r") for line in file.read().removesuffix("\n").split("\n")]
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
