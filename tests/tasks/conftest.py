"""Models of each kind as MLflow keeps and loads them."""

import warnings

with warnings.catch_warnings():  # MLflow hides a warning of its own import from users, by other means than a filter
    warnings.simplefilter("ignore")
    import mlflow.pyfunc  # noqa: F401
