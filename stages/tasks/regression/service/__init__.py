"""The trained model applied to texts, and as MLflow serves it."""
