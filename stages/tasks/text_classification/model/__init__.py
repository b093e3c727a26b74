"""The loss, and the decision for labels."""
