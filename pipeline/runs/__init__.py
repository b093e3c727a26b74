"""Runs: on this machine, on workers, and the deployments that start them."""
