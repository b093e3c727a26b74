"""Tagged text, checked and encoded."""
