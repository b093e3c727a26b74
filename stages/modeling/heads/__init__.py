"""What a head learns beside its linear layer."""
