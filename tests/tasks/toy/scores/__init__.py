"""How many numbers are right."""
