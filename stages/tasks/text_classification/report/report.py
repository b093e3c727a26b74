"""report.html: the evaluation as one page that needs no other file and sends no request.

A report, as `render` takes it, is a dictionary:

    facts        pairs of label and value for the head of the page
    primary      the name of the primary score
    multi_label  whether a text may have several labels
    train_texts  how many texts train has
    remarks      why baselines are missing
    splits       by name, the main one first: the keys of analysis.py, and `baselines`
    learning     the course of the training run, as `describe_learning` has it
"""

from pathlib import Path

from stages.reporting.evaluation import MAX_MISTAKES, Report, describe_slices, render_evaluation, sort_mistakes
from stages.statistics.names import title_score
from stages.tasks.text_classification.report.baselines import NAMES
from stages.tasks.text_classification.scores.scoring import COMPARED_BY

TEMPLATE = Path(__file__).parent / "report.html.jinja"
SHOWN_PAIRS = 15  # before the rest is folded away


def render(report: Report) -> str:
    """The page. The same report gives the same text."""
    name: str = report["primary"]
    mistakes = sort_mistakes(report)[:MAX_MISTAKES]
    # In alphabetical order, all labels that a listed mistake has in gold or in the prediction.
    labels = sorted(
        {label for _, each in mistakes for label in [*each["gold"], *(name for name, _ in each["predicted"])]}
    )
    numbers = {label: number for number, label in enumerate(labels, start=1)}
    return render_evaluation(
        TEMPLATE,
        report,
        {"number_of": lambda label: numbers[label]},
        name=title_score(name),
        slice_name=title_score(COMPARED_BY.get(name, name)),
        baseline_names=NAMES,
        labels=labels,
        mistakes=mistakes,
        shown_pairs=SHOWN_PAIRS,
        slices=describe_slices(report),
    )
