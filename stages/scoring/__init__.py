"""Entity scores."""
