"""What evaluate tells of a model of numbers: tables, plots, errors, the page."""
