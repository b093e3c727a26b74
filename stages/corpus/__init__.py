"""Labelled text: its files, splits and formats, a profile of its content, and diagnostics."""
