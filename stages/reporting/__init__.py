"""The shared parts of HTML pages."""
