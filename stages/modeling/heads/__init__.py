"""What a head learns: its linear layer, of labels that a model goes on with, and what lies beside it."""
