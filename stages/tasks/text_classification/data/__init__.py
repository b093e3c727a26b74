"""Labelled texts as encoded rows."""
