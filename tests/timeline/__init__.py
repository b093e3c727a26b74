"""The parts of a corpus that arrive one after another."""
