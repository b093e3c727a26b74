from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from stages.tasks import regression, text_classification
from stages.tasks.regression.data.params import check_sections as check_regression
from stages.tasks.regression.params import RegressionParams
from stages.tasks.text_classification.data.params import check_sections
from stages.tasks.text_classification.params import ClassificationParams
from tests.corpus.examples.conftest import make_params

CLASSIFICATION = {
    "name": "text_classification", "multi_label": False, "class_weights": "none", "pooling": "mean", "symmetric": False,
    "thresholds": "per_label", "primary": "macro_f1",
}  # fmt: skip
REGRESSION = {"name": "regression", "pooling": "mean", "symmetric": True, "primary": "pearson", "unit": None}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"multi_label": True, "class_weights": "balanced"}, "class_weights must be none if multi_label"),
        ({"multi_label": True, "primary": "accuracy"}, "primary accuracy needs one label"),
        ({"primary": "exact_match"}, "primary exact_match needs multi_label"),
        ({"primary": "f1"}, "macro_f1"),
        ({"multi_label": True, "primary": "mean_average_precision"}, r"no paired test .*: take micro_f1 or macro_f1"),
    ],
)
def test_task_params_that_do_not_fit_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ClassificationParams.model_validate(CLASSIFICATION | settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dir": "."}, "must be a folder within the project"),
        ({"text": 0}, "greater than or equal to 1"),
        ({"text": "a", "label": "a"}, "must be different columns, not 'a'"),
        ({"text": "a", "text_pair": "a"}, "must be different columns, not 'a'"),
        ({"label": ["a", "a"]}, "must be different columns, not 'a'"),
        ({"label": []}, "at least 1 item"),
        ({"label": ["a", "b"], "label_separator": ";"}, "label_separator divides the cells of one column"),
        ({"slices": ["a", "a"]}, "slices names a column twice"),
        ({"separator": "||"}, "at most 1 character"),
        ({"format": "conll"}, "csv"),
    ],
)
def test_data_params_that_do_not_fit_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        make_params(Path("data/corpora/x"), **settings)


def test_numbers_are_not_compared_by_ranks() -> None:
    with pytest.raises(ValidationError, match=r"no paired test .*: take pearson"):
        RegressionParams.model_validate(REGRESSION | {"primary": "spearman"})


def test_sections_that_do_not_fit_each_other_are_refused() -> None:
    data = make_params(Path("data/corpora/x"), label_separator=";")
    with pytest.raises(ValueError, match=r"symmetric needs pairs: .* data.text_pair"):
        check_sections(ClassificationParams.model_validate(CLASSIFICATION | {"symmetric": True}), data)  # type: ignore[arg-type]  # it is of this task
    with pytest.raises(ValueError, match="label_separator makes several labels"):
        check_sections(ClassificationParams.model_validate(CLASSIFICATION), data)  # type: ignore[arg-type]
    numbers = make_params(Path("data/corpora/x"), "numbers")
    with pytest.raises(ValueError, match="symmetric needs pairs"):
        check_regression(RegressionParams.model_validate(REGRESSION), numbers)  # type: ignore[arg-type]


def test_tasks_say_what_they_are() -> None:
    assert text_classification.__doc__
    assert regression.__doc__
