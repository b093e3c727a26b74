"""What made a model, as data, text, a page, and OpenLineage events."""
