"""Pretrained weights, batches, the training loop, prediction."""
