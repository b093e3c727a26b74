"""What differs from task to task; nothing else asks which task it is."""
