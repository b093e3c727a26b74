"""What train writes where weights are frozen, and the adapter that peft reads."""

import shutil
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import peft
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForTokenClassification, PreTrainedModel
from typer.testing import CliRunner

from pipeline.cli.models import commands
from stages import train
from stages.adaptation.lora import FILE
from stages.artifacts import WEIGHTS
from stages.config.sections import load_task_params
from stages.encoding.files import read_manifest
from stages.errors import UserError
from stages.training.record import read_training
from tests.checkouts import Trainable, set_in
from tests.tasks.kinds import KINDS, register_model, write_model

MODEL = Path("data/model")
Train = Callable[..., Path]


@pytest.fixture
def run_train(trainable: Callable[..., Trainable], monkeypatch: pytest.MonkeyPatch) -> Train:
    """Trains in a folder, which becomes the working directory, and returns the folder of the model."""
    monkeypatch.setattr("stages.tracking.sync.sync_live", lambda _: nullcontext())

    def run(**changes: object) -> Path:
        place = trainable(**{"train.epochs": 1, "train.head_lr_multiplier": 1, "train.precision": "bf16", **changes})
        monkeypatch.chdir(place.folder)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{place.folder}/mlflow.db")
        train.main(Path("params.yaml"))
        return MODEL

    return run


def check_weights(model: Path, pretrained: Path, *, frozen: tuple[str, ...], trained: str | None) -> None:
    """Weights whose names hold a part of `frozen` are as pretrained, those with `trained` are not."""
    before, after = (load_file(folder / WEIGHTS) for folder in (pretrained, model))
    for name, weight in before.items():
        if any(part in name for part in frozen) and not name.startswith("pooler."):
            assert torch.equal(after[f"bert.{name}"], weight), name
        elif trained and trained in name:
            assert not torch.equal(after[f"bert.{name}"], weight), name
    record = read_training(model)
    assert record.weights["all"] == sum(weight.numel() for weight in after.values())
    assert 0 < record.weights["trained"] < record.weights["all"]
    assert record.trained_weights.endswith(f"%), {record.parameters['model']['adapt']}")


@pytest.mark.parametrize(
    ("changes", "frozen", "trained"),
    [
        ({"model.adapt": "freeze", "model.freeze": 1}, ("embeddings.", "encoder.layer.0."), "encoder.layer.1."),
        ({"model.adapt": "head"}, ("",), None),
    ],
    ids=["freeze", "head"],
)
def test_frozen_weights_are_written_as_they_were_pretrained(
    run_train: Train, tiny_pretrained: Path, changes: dict[str, str], frozen: tuple[str, ...], trained: str | None
) -> None:
    model = run_train(**changes)
    check_weights(model, tiny_pretrained, frozen=frozen, trained=trained)
    assert not (model / FILE).exists()


def test_only_what_matters_is_part_of_the_identity(trainable: Callable[..., Trainable], tiny_pretrained: Path) -> None:
    folder = trainable().folder
    manifest = read_manifest(folder / "data/encoded")

    def key(*settings: str) -> str:
        with set_in(folder, *settings):
            params = load_task_params(folder / "params.yaml", train.Params)
        return train.compute_train_key(manifest, tiny_pretrained, params, {})

    assert key("model.adapt=full", "model.lora.rank=4", "model.freeze=1") == key()
    assert key("model.adapt=freeze", "model.lora.rank=4") == key("model.adapt=freeze")
    differing = ([], ["adapt=head"], ["adapt=lora"], ["adapt=lora", "lora.rank=4"], ["adapt=freeze", "freeze=1"])
    assert len({key(*(f"model.{setting}" for setting in settings)) for settings in differing}) == len(differing)


def export(*words: str) -> str:
    found = CliRunner().invoke(commands, ["export", *words])
    if found.exception is not None:
        raise found.exception
    return found.stdout


def tokens() -> torch.Tensor:
    return torch.arange(5, 45).view(2, 20)


def register(name: str, model: Path) -> None:
    """Put a model into the registry of the working directory, which then counts as a project."""
    with warnings.catch_warnings(action="ignore"):
        import mlflow.pyfunc  # noqa: F401 - MLflow warns of its own types
    Path("dvc.yaml").touch()
    Path(".dvc").mkdir(exist_ok=True)
    register_model(name, KINDS["entities"], model, f"sqlite:///{Path().absolute()}/mlflow.db")


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # peft reads what transformers renamed
def test_peft_loads_an_exported_adapter_to_the_same_logits(run_train: Train, tiny_pretrained: Path) -> None:
    settings = {"model.lora.rank": 4, "model.lora.targets": "[query, output.dense]", "train.learning_rate": 0.02}
    model = run_train(**{"model.adapt": "lora", **settings})
    check_weights(model, tiny_pretrained, frozen=("embeddings.", "LayerNorm.", ".bias", "key."), trained="query.weight")
    register("adapted", model)
    assert "holds the adapter of adapted/1" in export("adapted@challenger", "--peft", "adapter")
    config = AutoConfig.from_pretrained("adapter")
    merged: PreTrainedModel = AutoModelForTokenClassification.from_pretrained(model)
    base = AutoModelForTokenClassification.from_pretrained(tiny_pretrained, config=config)
    loaded = peft.PeftModel.from_pretrained(base, "adapter").eval()
    found = peft.PeftConfig.from_pretrained("adapter")
    assert (found.base_model_name_or_path, found.revision, found.r) == (str(tiny_pretrained), None, 4)
    with torch.no_grad():
        torch.testing.assert_close(loaded(tokens()).logits, merged.eval()(tokens()).logits, rtol=1e-4, atol=1e-4)
        plain = AutoModelForTokenClassification.from_pretrained(tiny_pretrained, config=config)
        plain.classifier = merged.classifier
        assert (plain.eval()(tokens()).logits - merged(tokens()).logits).abs().max() > 0.01
    with pytest.raises(UserError, match="adapter exists; name a folder that does not"):
        export("adapted", "--peft", "adapter")


def test_a_version_without_an_adapter_has_nothing_to_export(
    tiny_pretrained: Path, empty_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    shutil.copy(empty_store, tmp_path)
    register("whole", write_model(KINDS["entities"], tmp_path / "model", tiny_pretrained))
    with pytest.raises(UserError, match=r"whole/1 has no adapter: it was trained with model\.adapt=full.*adapt=lora"):
        export("whole", "--peft", "adapter")
    assert not Path("adapter").exists()
