"""convert_corpus: a corpus in any format -> the files that `tuneline import` keeps, and a profile as JSON on stdout.

Like every stage it takes only a params file. That is NAME.yaml, with the sections `task` and `data`, and the corpus is
written into the folder NAME beside it: atomically, and only if it has no error. The task decides in which form.
"""

import json
from pathlib import Path
from typing import cast

from stages.config.sections import read_task
from stages.corpus.parts import Conversion
from stages.params import read_document
from stages.runtime.entry_point import run_recipe
from stages.task import load_part


def main(params_file: Path) -> None:
    """Have the task check and write the corpus; one CorpusError reports all faults."""
    task = read_task(read_document(params_file), params_file)
    profile = cast(Conversion, load_part(task, "tools.conversion")).convert(params_file, params_file.with_suffix(""))
    print(json.dumps({"task": task, **profile}, ensure_ascii=False))


if __name__ == "__main__":
    run_recipe(main)
