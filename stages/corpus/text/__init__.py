"""Labelled text in memory: blocks of sentences, documents, tag schemes, and diagnostics."""
