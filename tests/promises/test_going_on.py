"""A model that goes on from a registered one: what it keeps, what is known of its ancestors, what is refused."""

import shutil
from pathlib import Path

import pytest
from mlflow import MlflowClient

from pipeline.checkout.layout import use_pipeline
from pipeline.cleanup.mlflow_garbage import find_in_mlflow
from pipeline.runs.launch import prepare_run
from stages import tokenize
from stages.config.sections import load_task_params
from stages.config.train import Params
from stages.errors import PretrainedError, UserError
from stages.runtime.project import FETCHED
from tests.checkouts import set_in
from tests.promises.conftest import Pipeline, find_pipeline

pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning")  # pygtrie, under DVC


@pytest.fixture(scope="module")
def child(pipeline: Pipeline) -> Pipeline:
    """A pipeline whose model, version 1, is registered, and went on from crf/1."""
    pipeline.run()
    return pipeline


@pytest.mark.parametrize("pipeline", ["going on"], indirect=True)
class TestGoingOn:
    """In one pipeline, in this order."""

    def test_alias_is_pinned_to_a_version_and_its_weights(self, pipeline: Pipeline) -> None:
        encoder = load_task_params(pipeline.params, Params).model.encoder
        assert (encoder["pretrained"], encoder["revision"]) == ("models:/crf@challenger", "1")
        assert [path.name for path in FETCHED.glob("[0-9a-f]*")] == [encoder["sha256"]]
        before = pipeline.params.read_bytes()
        with use_pipeline(pipeline.folder):
            prepare_run([])
        assert pipeline.params.read_bytes() == before

    def test_labels_that_are_new_are_said(self, pipeline: Pipeline, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level("INFO", logger="tokenize"):
            tokenize.main(pipeline.params)
        assert "labels that are new: B-lodging, I-lodging" in caplog.messages

    def test_what_was_forgotten_of_the_corpus_of_the_parent_is_a_figure(self, child: Pipeline) -> None:
        also = child.metrics()["also"]["crf"]
        forgetting = also["forgetting"]
        assert forgetting["before"] == pytest.approx(find_pipeline("crf").metrics()["test"]["primary"]["value"])
        assert forgetting["value"] == pytest.approx(forgetting["before"] - forgetting["after"])
        assert also["primary"]["value"] > 0.3  # of types that the new corpus does not have, too

    def test_lineage_card_and_comparison_know_the_parent(self, child: Pipeline) -> None:
        lineage, parent = child.json("lineage", child.model), find_pipeline("crf")
        (ancestor,) = lineage["ancestors"]
        assert (ancestor["name"], ancestor["version"], ancestor["is_gone"]) == ("crf", 1, False)
        assert ancestor["scores"]["test"] == parent.metrics()["test"]["primary"]["value"]
        assert list(ancestor["data"]) == ["data/corpora/crf"]
        assert f"crf/1; F1 {ancestor['scores']['dev']:.4f} on dev" in " ".join(
            child.tuneline("lineage", child.model).split()
        )
        page = Path("page.html")
        child.tuneline("lineage", child.model, "--html", str(page.absolute()))
        assert "the model that it went on from" in page.read_text(encoding="utf-8")
        card = MlflowClient().get_model_version(child.model, "1").description
        assert "Fine-tuned from `crf/1`." in card
        compared = child.json("compare", "crf/1", f"{child.model}/1")
        assert compared["params"]["model.pretrained"]["second"] == "models:/crf@challenger"

    def test_an_ancestor_of_what_stays_is_no_garbage(self, child: Pipeline) -> None:
        client, said = MlflowClient(), []
        client.set_registered_model_alias(child.model, "champion", "1")
        client.delete_registered_model_alias("crf", "challenger")
        found = find_in_mlflow(set(), 0.0, said.append)[0]
        client.set_registered_model_alias("crf", "challenger", "1")
        assert not [each.what for each in found if each.kind == "version" and each.what.startswith(("crf/", "going"))]
        assert f"crf/1 stays: {child.model}/1 was trained from it" in said

    def test_fetched_files_that_are_gone_are_fetched_again(self, child: Pipeline) -> None:
        shutil.rmtree(FETCHED)
        tokenize.main(child.params)
        assert len(list(FETCHED.glob("[0-9a-f]*"))) == 1

    @pytest.mark.parametrize(
        ("setting", "message"),
        [
            ("models:/crf@champion", r"there is no crf@champion; there is crf/1 @challenger"),
            ("models:/nobody/3", "no model is registered as nobody; there is"),
            ("models:/crf", "names no registered model: write models:/NAME@ALIAS or models:/NAME/VERSION"),
        ],
    )
    def test_what_the_registry_does_not_have_is_refused_before_a_run(
        self, child: Pipeline, setting: str, message: str
    ) -> None:
        before = child.params.read_bytes()
        with use_pipeline(child.folder), pytest.raises(UserError, match=message):
            prepare_run([f"model.pretrained={setting}"])
        assert child.params.read_bytes() == before

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            (("model.revision=null",), "may change. `tuneline run` pins it"),
            (("model.pretrained=models:/crf/2",), "but model.revision is 1: set it to null"),
            ((f"model.sha256={'f' * 64}",), "the weights of crf/1 in .* have SHA-256"),
            (
                ("model.pretrained=models:/crf/9", 'model.revision="9"', f"model.sha256={'f' * 64}"),
                "crf/9 is not in the registry",
            ),
        ],
    )
    def test_stages_take_nothing_but_what_is_pinned(
        self, child: Pipeline, settings: tuple[str, ...], message: str
    ) -> None:
        with set_in(child.folder, *settings), pytest.raises(PretrainedError, match=message):
            tokenize.main(child.params)

    @pytest.mark.usefixtures("child")
    def test_a_model_of_another_task_is_refused(self) -> None:
        other = find_pipeline("frozen layers")
        with use_pipeline(other.folder):
            before = other.params.read_bytes()
            prepare_run(["model.pretrained=models:/crf/1"])
        with pytest.raises(PretrainedError, match=r"crf/1 was trained for token_classification, .* is for regression"):
            tokenize.main(other.params)
        other.params.write_bytes(before)

    def test_an_ancestor_that_is_gone_is_named(self, child: Pipeline) -> None:
        shutil.rmtree(FETCHED)
        MlflowClient().delete_model_version("crf", "1")
        assert child.json("lineage", child.model)["ancestors"][0]["is_gone"]
        assert "no longer in the registry: crf/1" in child.tuneline("lineage", child.model)
        refused = child.tuneline("reproduce", child.model, code=2)
        assert f"{child.model}/1 cannot be rebuilt: model.pretrained: crf/1 is not in the registry" in refused
