"""What evaluate tells of a classifier of texts: tables, plots, mistakes, the page."""
