"""A task for tests/test_new_task.py, with all parts that a task must have: a whole number for each text."""
