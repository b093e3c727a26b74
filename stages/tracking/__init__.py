"""MLflow: runs, the registry, and the lineage record of each model."""
