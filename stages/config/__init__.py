"""The sections of params.yaml, a module for each recipe. Quick to import: every run checks the file first."""
