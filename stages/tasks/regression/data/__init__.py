"""Texts with numbers as encoded rows."""
