"""Texts, or pairs of texts, with a number or with several."""
