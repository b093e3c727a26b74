"""What params.yaml may hold, a module for each reader of it. Quick to import: every run checks the file first."""
