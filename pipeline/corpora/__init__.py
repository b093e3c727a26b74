"""Corpora: download, import, restore and report."""
