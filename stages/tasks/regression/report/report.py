"""report.html: the evaluation as one page that needs no other file and sends no request.

A report, as `render` takes it, is a dictionary:

    facts        pairs of label and value for the head of the page
    primary      the name of the primary score
    unit         of the numbers, or None
    train_texts  how many texts train has
    remarks      why baselines are missing
    splits       by name, the main one first: the keys of analysis.py, and `baselines`
    learning     the course of the training run, as `describe_learning` has it
"""

from pathlib import Path

from stages.reporting.axes import Axes, axes_between
from stages.reporting.evaluation import MAX_MISTAKES, Record, Report, describe_slices, render_evaluation, sort_mistakes
from stages.statistics.names import title_score
from stages.tasks.regression.report import analysis
from stages.tasks.regression.report.baselines import NAMES
from stages.tasks.regression.scores.scoring import COMPARED_BY, HIGH, LOW

TEMPLATE = Path(__file__).parent / "report.html.jinja"
KINDS = {HIGH: "too high", LOW: "too low"}


def render(report: Report) -> str:
    """The page. The same report gives the same text."""
    name: str = report["primary"]
    targets = list(next(iter(report["splits"].values()))["targets"])
    return render_evaluation(
        TEMPLATE,
        report,
        {"target_number": lambda target: targets.index(target) + 1, "residual_axes": _find_residual_axes},
        name=title_score(name),
        slice_name=title_score(COMPARED_BY.get(name, name)),
        baseline_names=NAMES,
        targets=targets,
        axes={target: _find_axes(report, target) for target in targets},
        scales={target: _find_scale(report, target) for target in targets},
        kinds=KINDS,
        max_points=analysis.MAX_POINTS,
        mistakes=sort_mistakes(report)[:MAX_MISTAKES],
        slices=describe_slices(report),
    )


def _find_scale(report: Report, target: str) -> float:
    """What the digits of a target's numbers depend on: how much its residuals of the main split vary."""
    deviation: float = next(iter(report["splits"].values()))["targets"][target]["residual"]["deviation"]
    return deviation


def _find_axes(report: Report, target: str) -> Axes:
    """Axes of predicted against gold numbers, the same for all splits."""
    found = [split["targets"][target] for split in report["splits"].values()]
    numbers = [value for own in found for point in own["points"] for value in (point["gold"], point["predicted"])]
    around = (min(numbers, default=0.0), max(numbers, default=1.0))
    return axes_between(around, around)


def _find_residual_axes(bins: list[Record]) -> Axes:
    """Axes of the residuals of a split, with 0 in the middle."""
    most = max(row["high"] for row in bins)
    return axes_between((-most, most), (0.0, max(row["count"] for row in bins)))
