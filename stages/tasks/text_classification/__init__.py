"""Texts, or pairs of texts, with one label or with several."""
