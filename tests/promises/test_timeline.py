"""A corpus in parts is played: each step goes on from the one before, is registered, scored on all parts and judged."""

import csv
from collections.abc import Sequence
from pathlib import Path
from unittest.mock import Mock

import pytest

from pipeline.checkout.layout import use_pipeline
from pipeline.checkout.status import StageState
from pipeline.timeline import play
from pipeline.timeline.parts import Part, cut_by_column
from pipeline.timeline.play import WAYS, Step
from pipeline.timeline.report import render_page, summarise
from stages.params import read_document
from tests.checkouts import set_in
from tests.pages import visible_text
from tests.promises.conftest import Pipeline
from tests.promises.kinds import COLUMNS, split_rows

pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning")  # pygtrie, under DVC

MONTHS = ("2026-01", "2026-02")


def write_months(folder: Path) -> None:
    """Give each text of the corpus a month."""
    for split, rows in split_rows():
        with (folder / f"{split}.csv").open("w", newline="", encoding="utf-8") as stream:
            table = csv.writer(stream, lineterminator="\n")
            table.writerow((*COLUMNS[:3], "month"))
            table.writerows((*row[:3], MONTHS[number % 2]) for number, row in enumerate(rows))


@pytest.mark.slow
@pytest.mark.parametrize("pipeline", ["adapters"], indirect=True)
def test_months_are_played(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    def run_stale(states: Sequence[StageState]) -> None:
        """Run them in this process, without Prefect."""
        pipeline.run(*(state.name for state in states if not state.fresh))

    monkeypatch.setattr(play, "run_stale", run_stale)
    write_months(pipeline.corpus)
    before = pipeline.params.read_bytes()
    with use_pipeline(pipeline.folder), set_in(pipeline.folder, "model.adapt=full", "train.epochs=4"):
        params = read_document(pipeline.params)
        parts = cut_by_column(params["data"], params["task"], "month")
        shown: list[Step] = []
        steps = play.play(parts, ["replay"], on_step=shown.append)
        assert read_document(pipeline.params) == params
    assert pipeline.params.read_bytes() == before
    assert shown == steps
    first, second = steps
    assert [(step.way, step.part, step.model) for step in steps] == [
        ("replay", "2026-01", "adapters-replay/1"), ("replay", "2026-02", "adapters-replay/2")
    ]  # fmt: skip
    assert (first.verdict, first.parent, second.parent) == ("PROMOTE", None, "adapters-replay/1")
    assert set(first.scores) == set(second.scores) == set(MONTHS)
    assert second.scores["2026-02"] == pipeline.metrics()["test"]["primary"]["value"]
    row = summarise(steps, parts)["replay"]
    assert row["seen"] == pytest.approx(sum(second.scores.values()) / 2)
    assert row["next"] == first.scores["2026-02"]
    page = visible_text(render_page(steps, parts, name="adapters"))
    assert f"{row['seen']:.4f}" in page
    assert "from adapters-replay/1" in page
    (ancestor,) = pipeline.json("lineage", "adapters-replay/2")["ancestors"]
    assert (ancestor["name"], ancestor["version"]) == ("adapters-replay", 1)


def test_nothing_is_started_after_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[object] = []
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text("train: {epochs: 5}\n", encoding="utf-8")
    for name, stand_in in (("stage_states", list), ("renew_dag", lambda: None), ("run_stale", started.append)):
        monkeypatch.setattr(play, name, stand_in)
    stop = Mock(side_effect=KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt), play._keep_params():
        stop(Path("params.yaml").write_text("train: {epochs: 9}\n", encoding="utf-8"))
    assert Path("params.yaml").read_text(encoding="utf-8") == "train: {epochs: 5}\n"
    assert started == []
    with play._keep_params():
        pass
    assert started == [[]]


def test_ways_differ_in_what_they_read() -> None:
    january, february = (Part(name, Path(name), Path(f"upto-{name}")) for name in ("jan", "feb"))
    assert WAYS["restart"](february, january) == ["data.dir=upto-feb"]
    assert WAYS["go-on"](february, january) == ["data.dir=feb"]
    assert WAYS["retain"](february, january) == ["data.dir=feb", "train.retain=2.0"]
    assert WAYS["replay"](february, january)[1] == 'train.replay={"corpus": "upto-jan", "share": 0.3}'
    assert {tuple(way(january, None)) for way in WAYS.values()} == {("data.dir=upto-jan",), ("data.dir=jan",)}


@pytest.mark.parametrize("pipeline", ["adapters"], indirect=True)
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--ways", "restart,often", "--by", "month"), "name each of restart, go-on, replay, retain once at most"),
        ((), "name either the folders of the parts, or the column"),
        (("a", "--by", "month"), "name either the folders of the parts, or the column"),
    ],
)
def test_what_cannot_be_played_is_refused(pipeline: Pipeline, words: tuple[str, ...], message: str) -> None:
    assert message in pipeline.tuneline("timeline", *words, code=2)
