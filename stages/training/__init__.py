"""The training loop, the optimizer, the schedule, checkpoints and distributed training."""
