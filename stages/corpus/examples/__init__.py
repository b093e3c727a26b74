"""Labelled texts, with one label, several, or numbers each: formats, splits, checks."""
