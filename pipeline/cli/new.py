"""The command new, which writes a pipeline into a folder."""

from pathlib import Path
from typing import Annotated

import typer

from pipeline.checkout.layout import PARAMS, enter_root
from pipeline.terminal import Json, out, print_json, show_path
from stages.errors import UserError

commands = typer.Typer()


@commands.command()
def new(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A folder inside the repository.")],
    task: Annotated[
        str | None, typer.Option(metavar="NAME", help="What the model is to do: the name of a folder of stages/tasks/.")
    ] = None,
    data: Annotated[str | None, typer.Option(metavar="DIR", help="The corpus: data.dir of params.yaml.")] = None,
    name: Annotated[
        str | None, typer.Option(metavar="MODEL", help="The registered model; by default as the folder.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A value of the new params.yaml, as of `run`. Repeatable."),
    ] = None,
    update: Annotated[bool, typer.Option("--update", help="Renew dvc.yaml of a pipeline that exists.")] = False,
    as_json: Json = False,
) -> None:
    """Write a pipeline into a folder: params.yaml, with the reason of each value, and dvc.yaml.

    A folder with these files is a pipeline, which runs at once on the demo corpus of its task, if it has one. Within it
    every command means it: `tuneline run`, `status`, `promote` and all others. Its outputs lie in FOLDER/data.
    Registry, DVC cache, code and corpora are those of the repository; its paths, such as data.dir, are from the root.
    `dvc repro -P` at the root runs all pipelines.

    --update renews dvc.yaml after the one at the root has changed; params.yaml stays as it is.

    Examples:

        tuneline new examples/intents --task text_classification --data data/corpora/intents

        cd examples/intents && tuneline check && tuneline run

        tuneline new examples/tags --task text_classification --set task.multi_label=true --set data.label=topics

        tuneline new examples/moods --task regression --set "data.target=[joy, anger]" --set "data.slices=[source]"

        tuneline new examples/intents --update
    """
    from pipeline.checkout.new_pipeline import update_dag, write_pipeline
    from pipeline.checkout.params_file import read_value
    from stages.task import task_names

    target, corpus = folder.resolve(), data and Path(data).resolve()
    enter_root()
    root = Path.cwd().resolve()
    if not target.is_relative_to(root):
        raise UserError(f"{folder} is outside the repository {root}; a pipeline needs its code")
    target = target.relative_to(root)
    if update:
        if task or data or name or settings:
            raise UserError("--update renews dvc.yaml alone; change params.yaml by hand, or with `tuneline run --set`")
        changed = update_dag(target)
        if as_json:
            print_json({"folder": target.as_posix(), "changed": changed})
        else:
            out.print(f"{target}/dvc.yaml {'is renewed' if changed else 'is as it should be'}")
        return
    if task is None:
        raise UserError(f"--task NAME is missing; there are {', '.join(task_names())}")
    if target == Path():
        raise UserError("the root has its pipeline already; name another folder")
    inside = corpus and (corpus.relative_to(root) if corpus.is_relative_to(root) else corpus).as_posix()
    values = [f'register.name="{name or target.name}"', *([f'data.dir="{inside}"'] if inside else [])]
    files = write_pipeline(target, task, [*values, *(settings or [])])
    if as_json:
        print_json({"folder": target.as_posix(), "files": [path.as_posix() for path in files]})
        return
    out.print(f"{target} is a pipeline for {task}: {', '.join(path.name for path in files)}")
    corpus_place = Path(read_value(target / PARAMS, "data.dir"))
    first = "read params.yaml there"
    if not corpus_place.exists():
        first = f"put the corpus into {show_path(corpus_place)}, in a format of data/corpora/README.md"
    out.print(f"Next: {first}, then `cd {folder} && tuneline check && tuneline run`")
