"""The project folder: DVC, git, locks, params.yaml and child processes."""
