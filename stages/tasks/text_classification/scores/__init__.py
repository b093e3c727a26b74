"""Scores of classified texts, and the file of predictions that they follow from."""
