"""What this machine needs to run the pipeline, checked one thing after another."""
