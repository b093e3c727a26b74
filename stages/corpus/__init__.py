"""Annotated text: reading, tag schemes, label sets."""
