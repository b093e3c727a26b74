"""The masks, the loss, and the words that are predicted in the place of masks."""
