"""Tests of the room continual."""
