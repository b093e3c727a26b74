"""The trained model applied to texts with masks, and as MLflow serves it."""
