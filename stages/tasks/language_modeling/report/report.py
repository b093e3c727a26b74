"""report.html: the evaluation as one page that needs no other file and sends no request.

A report, as `render` takes it, is a dictionary:

    facts        pairs of label and value for the head of the page
    splits       by name, the main one first: the keys of analysis.py
    learning     the course of the training run, as `describe_learning` has it
"""

from pathlib import Path

from stages.reporting.evaluation import MAX_MISTAKES, Report, render_evaluation, sort_mistakes
from stages.statistics.names import title_score
from stages.tasks.language_modeling.scores.metric import PRIMARY
from stages.tasks.language_modeling.scores.scoring import MISSED, SURPRISING

TEMPLATE = Path(__file__).parent / "report.html.jinja"
KINDS = {MISSED: "another word was likelier", SURPRISING: "less than one chance in a thousand"}


def render(report: Report) -> str:
    """The page. The same report gives the same text."""
    rows = [row for split in report["splits"].values() for row in split["by_frequency"].values()]
    return render_evaluation(
        TEMPLATE,
        report,
        name=title_score(PRIMARY),
        kinds=KINDS,
        most=max(row["value"] for row in rows) or 1.0,
        mistakes=sort_mistakes(report)[:MAX_MISTAKES],
    )
