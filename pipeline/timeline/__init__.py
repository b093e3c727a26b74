"""A year of data: a corpus in parts that arrive one after another, and ways to keep a model up to date with them."""
