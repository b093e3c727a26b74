"""check_params: validate every section of params.yaml; one message reports all faults."""

from pathlib import Path

from stages.config import evaluate, orchestration, register, tokenize, train
from stages.config.sections import add_task_fields, read_task
from stages.errors import ParamsError, list_faults
from stages.params import read_document, section_faults, unknown_sections
from stages.runtime.entry_point import run_recipe


def main(params_file: Path) -> None:
    """Raise a ParamsError with the faults of the whole file, in the order of the stages."""
    document = read_document(params_file)
    task = read_task(document, params_file)
    faults = unknown_sections(document, params_file)
    for reader in (tokenize, train, evaluate, register, orchestration):
        faults += section_faults(document, add_task_fields(reader.Params, task), params_file)
    if faults:
        raise ParamsError(list_faults(f"{params_file} is not usable:", list(dict.fromkeys(faults))))


if __name__ == "__main__":
    run_recipe(main)
