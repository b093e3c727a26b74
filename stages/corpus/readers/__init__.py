"""One reader for each format of labelled text: CoNLL columns, JSON, Parquet, CSV."""
