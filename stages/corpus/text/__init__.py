"""Labelled text in memory: sentences by the block, documents, tag schemes, and the diagnostics of what was read."""
