"""Encoder, batches, dropout, precision and pretrained weights."""
