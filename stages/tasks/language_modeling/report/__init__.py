"""The evaluation as files: predictions, a page, plots."""
