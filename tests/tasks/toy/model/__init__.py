"""The loss, and the answers as whole numbers."""
