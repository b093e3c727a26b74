"""The training run of the recipe train: what it works on, its course from checkpoint to checkpoint, what it leaves."""
