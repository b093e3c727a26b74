"""Labelled text as a whole: which files it is, its splits, what it holds and what is wrong with it."""
