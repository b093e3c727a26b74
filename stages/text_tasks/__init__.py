"""What the tasks on texts share; it knows none of them."""
