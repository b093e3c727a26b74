"""Scores of predicted numbers, and the file of predictions that they follow from."""
