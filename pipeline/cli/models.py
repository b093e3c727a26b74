"""The commands that list and use models: models, predict, mistakes and export."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from pipeline.checkout.layout import PREDICTIONS, enter_root, locate
from pipeline.terminal import MODEL, Json, err, make_table, out, print_json, program

commands = typer.Typer()


@commands.command()
def models(as_json: Json = False) -> None:
    """List the versions of all registered models, with their aliases and primary scores."""
    from pipeline.registry.versions import list_versions
    from stages.statistics.names import shorten_score
    from stages.tracking.client import shown_uri

    enter_root()
    versions = list_versions()
    if as_json:
        print_json({"models": [asdict(version) for version in versions]})
        return
    if not versions:
        out.print(f"No model in {shown_uri()} yet. Make one: {program('tuneline')} run")
        return
    # A column more only where the scores differ in kind.
    names = {shorten_score(version.primary["name"]) for version in versions}
    common = names.pop() if len(names) == 1 else None
    headers = [f"dev {common}", f"test {common}"] if common else ["score", "dev", "test"]
    table = make_table("name", "version", "aliases", *headers, "digest")
    for version in versions:
        scores = [f"{version.scores[split]:.4f}" if split in version.scores else "" for split in ("dev", "test")]
        kind = [] if common else [shorten_score(version.primary["name"])]
        aliases = ", ".join(version.aliases)
        table.add_row(version.name, str(version.version), aliases, *kind, *scores, version.digest[:12])
    out.print(table)


@commands.command()
def predict(
    model: Annotated[str, MODEL],
    file: Annotated[
        typer.FileBinaryRead,
        typer.Argument(
            metavar="[FILE]",
            help="Lines of text, JSON Lines with text and pair, or a .csv or .tsv with these columns; in UTF-8. "
            "Standard input by default.",
        ),
    ] = "-",  # type: ignore[assignment]  # click's name of standard input
    all_scores: Annotated[
        bool, typer.Option("--all-scores", help="Of a classifier: the score of every label.")
    ] = False,
    documents: Annotated[
        bool,
        typer.Option(
            "--documents",
            help="Each text is a sentence, and an empty one stands between two documents: a model that was trained "
            "with tokenize.context=document reads sentences in their context.",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Apply a model to texts.

    Of a model that reads pairs, a line holds both texts with a tab between them. A line that is a JSON object, such as
    {"text": "...", "pair": "..."}, may hold texts with line ends; its other fields are not read.

    Examples:

        echo "Angela Merkel visited Siemens in Munich." | tuneline predict demo-ner

        tuneline predict demo-ner@champion letters.txt --json

        tuneline predict sentiment reviews.csv --all-scores

        tuneline predict demo-ner letters.txt --documents
    """
    from pipeline.registry.inputs import read_inputs, read_records
    from pipeline.registry.served import find_served

    records = list(read_records(file))
    enter_root()
    served = find_served(model)
    inputs = read_inputs(records, served.task.presentation, served.config)
    if not inputs:
        err.print("no text: the input is empty")
    answers = served.answer(inputs, all_scores=all_scores, documents=documents)
    presentation = served.task.presentation
    if as_json:
        print_json({"predictions": [
            {**(given if isinstance(given, dict) else {"text": given}), **presentation.answer_to_json(found)}
            for given, found in answers
        ]})  # fmt: skip
        return
    for given, found in answers:
        print("\t".join(given.values()) if isinstance(given, dict) else given)  # rich would replace tabs
        for line in presentation.print_answer(found):
            out.print(f"  {line}")


@commands.command()
def mistakes(
    split: Annotated[str, typer.Option(metavar="NAME", help="dev or test.")] = "test",
    kind: Annotated[
        str | None,
        typer.Option(
            metavar="KIND",
            help="Only this kind: of entities type, boundary, boundary_and_type, missed or spurious; a name that does "
            "not exist lists those of the task.",
        ),
    ] = None,
    label: Annotated[
        str | None, typer.Option("--label", metavar="LABEL", help="Only mistakes about this class, target or type.")
    ] = None,
    entity_type: Annotated[
        str | None, typer.Option("--type", metavar="TYPE", help="Another name of --label, for types of entities.")
    ] = None,
    limit: Annotated[int, typer.Option(metavar="N", min=0, help="The number of examples to show; 0 for all.")] = 20,
    as_json: Json = False,
) -> None:
    """Show the examples with wrong predictions, the most confident ones first.

    Examples:

        tuneline mistakes

        tuneline mistakes --split dev --kind boundary --type ORG --limit 50

        cd examples/sentiment && tuneline mistakes --label negative
    """
    from rich.text import Text

    from pipeline.checkout.params_file import load_own_task
    from pipeline.comparison.mistakes import find_mistakes
    from pipeline.formatting import format_runs

    enter_root()
    task = load_own_task()
    option, chosen = ("label", label) if entity_type is None else ("type", entity_type)
    found = find_mistakes(locate(PREDICTIONS), task=task, split=split, kind=kind, label=chosen, option=option)
    shown = found[:limit] if limit else found
    if as_json:
        print_json({"split": split, "count": len(found), "mistakes": [task.add_old_keys(entry) for entry in shown]})
        return
    for entry in shown:
        out.print(Text(f"{split} {entry['example']}: {', '.join(entry['kinds'])}", "bold"))
        rows = task.presentation.show_text(entry)
        rows += [
            (side, format_runs(task.presentation.show_answer(entry, side, side))) for side in ("gold", "predicted")
        ]
        for name, value in rows:
            out.print(Text(f"  {name:<9}  {value}"))
    out.print(f"{len(shown)} of {len(found)} {task.words.examples} of {split} with such mistakes")


@commands.command()
def export(
    model: Annotated[str, MODEL],
    peft: Annotated[Path, typer.Option(metavar="FOLDER", help="Write the adapter and the head as peft reads them.")],
    as_json: Json = False,
) -> None:
    """Write the adapter of a model that was trained with model.adapt=lora, for peft.

    The registered model itself needs no peft, since its weights include the adapter.

    Examples:

        tuneline export demo-ner --peft adapter
    """
    from pipeline.registry.peft_export import export_peft
    from pipeline.registry.served import find_served

    folder = peft.absolute()
    enter_root()
    served = find_served(model)
    export_peft(served, folder)
    if as_json:
        print_json({"model": served.label, "path": str(folder)})
        return
    out.print(f"{folder} holds the adapter of {served.label}")
