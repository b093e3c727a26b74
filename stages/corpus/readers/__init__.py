"""Readers of labelled text, one for each format: CoNLL columns, JSON, Parquet, CSV."""
