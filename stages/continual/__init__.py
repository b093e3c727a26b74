"""Models that go on from an older one: what it knows, old examples in training and in scores, what is forgotten."""
