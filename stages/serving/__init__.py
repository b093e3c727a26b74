"""A trained model applied to raw text."""
