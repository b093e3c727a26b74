"""What differs between two models, and where a model is wrong."""
