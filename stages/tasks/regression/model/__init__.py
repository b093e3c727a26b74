"""The loss, and the answers in the units of the user."""
