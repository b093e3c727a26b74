"""The corpora of this task, as tools import and compare them."""
