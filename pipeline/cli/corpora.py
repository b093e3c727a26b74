"""The commands on corpora: check and import."""

import errno
import json
import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.checkout.layout import PARAMS, enter_root, locate
from pipeline.cli.formats import FORMATS, TEXT_FORMATS
from pipeline.signals import exit_on_interrupt
from pipeline.terminal import Json, draw_progress, out, print_json, program, show_path
from stages.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.corpora.importing import ImportedCorpus

commands = typer.Typer()


@commands.command(epilog=FORMATS + TEXT_FORMATS)
def check(
    folder: Annotated[
        Path | None, typer.Argument(metavar="[DIR]", help="A corpus, or one file; data.dir of params.yaml if absent.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Read with this value; params.yaml stays unchanged. Repeatable."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Read a corpus without training on it: what it contains, and what is wrong with it.

    `tuneline run` would refuse a corpus with errors; the exit code is then 2. Warnings are about lower accuracy or
    misleading scores: examples in both train and test, labels with few examples, words unknown to the tokenizer.

    Examples:

        tuneline check

        tuneline check data/corpora/mine --set data.tags=3

        cd examples/sentiment && tuneline check reviews.csv --set data.label=stars

        tuneline check wikigold.conll --set 'data.split={dev: 0.1, test: 0.1}' --json
    """
    from pipeline.checkout.params_file import apply_settings
    from pipeline.corpora.check import check_corpus
    from pipeline.corpora.report import render_profile
    from stages.tracking.version_artifacts import load_task

    place = folder and folder.absolute()
    enter_root()
    if place is not None:
        settings = [*(settings or []), f"data.dir={json.dumps(os.path.relpath(place), ensure_ascii=False)}"]
    with exit_on_interrupt("stopped"):
        profile = check_corpus(apply_settings(locate(PARAMS), settings or []), on_progress=draw_progress)
    if as_json:
        print_json(profile)
    else:
        out.print(render_profile(profile, load_task(profile["task"]).presentation))
    if any(diagnostic["severity"] == "error" for diagnostic in profile["findings"]):
        raise typer.Exit(UserError.exit_code)


IMPORT_EPILOG = """
Texts with labels or numbers keep their files in data/corpora/NAME as they are. Entities get the standard form there:
train.conll, dev.conll and test.conll, or corpus.conll of a corpus without splits; in them a word, a tab and its IOB2
tag a line, a blank line after each sentence, and `-DOCSTART-` before each document where the source marks documents.
provenance.json beside the files says where the corpus came from, with the SHA-256 of each file, how it is read, and
its licence.

SOURCE may be in any format that `tuneline check --help` shows, plain or .gz: a file or a folder. From a folder, the
data files, also in its folders train, dev and test, and the licence are fetched.
"""


@commands.command("import", epilog=IMPORT_EPILOG)
def import_(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="A path or a URL: https://, s3://, hf://, ftp:// ...")
    ],
    name: Annotated[str, typer.Argument(metavar="NAME", help="What to call it here: data/corpora/NAME.")],
    *,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="How to read the source, such as data.format or data.faulty; data.tags of entities; data.text, "
            "data.label, data.target, task.multi_label of texts. Repeatable.",
        ),
    ] = None,
    task: Annotated[
        str | None, typer.Option(metavar="TASK", help="What the corpus is for; default: the task of params.yaml.")
    ] = None,
    licence: Annotated[
        str | None,
        typer.Option(metavar="TEXT_OR_FILE", help="The licence to record; default: the LICENSE in the source, if any."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the corpus of that name.")] = False,
    as_json: Json = False,
) -> None:
    """Import a corpus: fetch it, check it, keep it in data/corpora and add it to DVC.

    A corpus with errors (see `tuneline check`) is refused, and nothing changes. The same source always becomes the same
    bytes.

    Examples:

        tuneline import ../annotations/letters.jsonl letters --licence "CC BY 4.0"

        tuneline import https://example.org/corpora/press/ press

        tuneline import hf://datasets/OWNER/NAME/data wiki --set data.tags=ner_tags

        tuneline import s3://bucket/news/train.conll.gz news --set data.tags=4

        tuneline import reviews.csv reviews --task text_classification --set data.label=stars

        tuneline import topics.jsonl topics --task text_classification --set task.multi_label=true

        tuneline import ratings.csv ratings --task regression --set data.target=rating
    """
    from pipeline.corpora.importing import import_corpus
    from pipeline.corpora.report import render_profile
    from stages.config.sections import read_task
    from stages.params import read_document
    from stages.tracking.version_artifacts import load_task

    here = Path.cwd()
    text = _text_or_file(licence)
    enter_root()
    own = locate(PARAMS)
    document = read_document(own)
    own_task = read_task(document, own)
    task = task or own_task
    section = document["task"] if task == own_task else {"name": task}
    presentation = load_task(task).presentation
    with exit_on_interrupt("stopped; nothing was imported"):
        imported = import_corpus(
            source, name, section=section, settings=settings or [], licence=text, force=force, here=here,
            on_progress=draw_progress,
        )  # fmt: skip
    if as_json:
        print_json(
            {
                "path": str(imported.path),
                "dvc_file": str(imported.dvc_file),
                "source": imported.source,
                "digest": imported.digest,
                **{name: value for name, value in imported.profile.items() if name not in ("dir", "window", "counts")},
            }
        )
        return
    out.print(render_profile(imported.profile, presentation))
    form = "its files" if imported.part.KEEPS_FILES else "it in the standard form"
    out.print(f"\n{imported.path} holds {form}, tracked by DVC; digest {imported.digest[:12]}")
    _report_import(imported)


def _text_or_file(licence: str | None) -> str | None:
    """Return the text of a licence that is given as a text or as the name of a file."""
    if licence is None:
        return None
    try:
        return Path(licence).read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return licence
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            return licence
        raise


def _report_import(imported: "ImportedCorpus") -> None:
    """Print the next commands for a new corpus, ready to copy."""
    from pipeline.checkout.new_pipeline import write_params_text
    from stages.config.sections import read_task
    from stages.params import parse_document, read_document

    tuneline, path, dvc_file = program("tuneline"), imported.path, imported.dvc_file
    own = read_document(locate(PARAMS))
    is_own_task = read_task(own, PARAMS) == imported.task
    document = own if is_own_task else parse_document(write_params_text(imported.task), PARAMS)
    # How params.yaml reads its current corpus may not apply to this one.
    differing = {
        key: value
        for key, value in imported.reading.items()
        if document.get(key.partition(".")[0], {}).get(key.partition(".")[2], value) != value
    }
    reading = _write_settings(differing)
    missing = ", ".join(f"{name}: 0.1" for name in ("dev", "test") if name not in imported.profile["splits"])
    shares = f" --set 'data.split={{{missing}}}'" if missing else ""
    if document.get("data", {}).get("split") is not None:
        reading += shares or " --set data.split=null"
        shares = ""
    model = f"{path.name}-{imported.part.MODEL_SUFFIX}"
    files = [show_path(file) for file in (dvc_file, dvc_file.with_name(".gitignore"))]
    steps = [("track it in git", f"git add {' '.join(files)}")]
    if is_own_task:
        train = f"{tuneline} run --set data.dir={path} --set register.name={model}{reading}{shares}"
        steps = [("check it", f"{tuneline} check {show_path(path)}{reading}"), *steps, ("train on it", train)]
    else:
        folder = show_path(Path("examples") / path.name)
        written = (
            f"{tuneline} new {folder} --task {imported.task} --data {show_path(path)} --name {model}{reading}{shares}"
        )
        steps += [("a pipeline for it", written), ("train on it", f"cd {folder} && {tuneline} run")]
    out.print("\nNext:", style="bold")
    for what, command in steps:
        out.print(f"  {what:<20} {command}")


def _write_settings(values: "Mapping[str, Any]") -> str:
    """Options that set these parameters, each with a space in front of it."""
    from pipeline.checkout.params_file import write_setting

    return "".join(f" --set {shlex.quote(write_setting(key, value))}" for key, value in values.items())
