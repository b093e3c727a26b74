"""A file for each format of labelled texts."""
