"""The sections of params.yaml, a module for each recipe. Fast to import: every run checks the file first."""
