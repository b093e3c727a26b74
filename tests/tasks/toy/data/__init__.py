"""Texts with whole numbers as encoded rows."""
