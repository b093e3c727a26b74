"""The trained model applied to raw text, and as MLflow serves it."""
