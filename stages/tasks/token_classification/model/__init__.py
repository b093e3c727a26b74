"""The encoder with a head on each token, and its predictions."""
