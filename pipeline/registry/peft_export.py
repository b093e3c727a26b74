"""Writes the adapter of a version in the format of peft: adapter_config.json and adapter_model.safetensors.

peft names a module as the model does, below its own two wrappers, and a matrix of an adapter as a layer with a weight.
"""

import json
import shutil
from pathlib import Path
from typing import Any

from pipeline.registry.served import ServedVersion
from stages.artifacts import atomic_write
from stages.errors import UserError
from stages.tracking.parent import MODEL_FILES
from stages.tracking.version_artifacts import CONFIG
from stages.training.record import TrainingRecord, read_training

ADAPTER = "adapter.safetensors"  # in the folder of a model, as stages/adaptation/lora.py writes it
PREFIX = "base_model.model."
MATRICES = (".lora_A", ".lora_B")


def export_peft(served: ServedVersion, target: Path) -> None:
    """Write `target`, a folder that does not exist: the adapter, the head, and the config with the labels.

    UserError if the version has no adapter.
    """
    from safetensors.numpy import load_file, save_file

    model = served.folder / MODEL_FILES
    record = read_training(model)
    adapt = record.parameters["model"].get("adapt", "full")  # which those of before do not name
    if adapt != "lora":
        raise UserError(
            f"{served.label} has no adapter: it was trained with model.adapt={adapt}. "
            "To train one: tuneline run --set model.adapt=lora"
        )
    if target.exists():
        raise UserError(f"{target} exists; name a folder that does not")
    weights = load_file(model / ADAPTER)
    with atomic_write(target) as folder:
        folder.mkdir()
        save_file(
            {_name_in_peft(name): weight for name, weight in weights.items()}, folder / "adapter_model.safetensors"
        )
        text = json.dumps(_describe(record, list(weights)), indent=2) + "\n"
        (folder / "adapter_config.json").write_text(text, encoding="utf-8")
        shutil.copyfile(model / CONFIG, folder / CONFIG)


def _name_in_peft(name: str) -> str:
    return f"{PREFIX}{name}.weight" if name.endswith(MATRICES) else f"{PREFIX}{name}"


def _describe(record: TrainingRecord, names: list[str]) -> dict[str, Any]:
    """The content of adapter_config.json; modules by their full names, which no other module's name ends with."""
    lora = record.parameters["model"]["lora"]
    modules = {is_adapter: sorted({name.rpartition(".")[0] for name in names if name.endswith(MATRICES) == is_adapter})
               for is_adapter in (True, False)}  # fmt: skip
    return {
        "peft_type": "LORA",
        "task_type": "TOKEN_CLS",
        "base_model_name_or_path": record.encoder["pretrained"],
        "revision": record.encoder["revision"],
        "r": lora["rank"],
        "lora_alpha": lora["alpha"],
        "lora_dropout": lora["dropout"],
        "target_modules": modules[True],
        "modules_to_save": modules[False],
        "bias": "none",
        "inference_mode": True,
    }
