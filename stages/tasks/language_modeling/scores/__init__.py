"""How surprising masked words are to a model."""
