"""What evaluate tells of a tagger: tables, plots, mistakes, the page."""
