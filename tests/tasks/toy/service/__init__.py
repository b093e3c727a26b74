"""The trained model applied to texts."""
