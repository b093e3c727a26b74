"""Examples whose labels are probably wrong: found, shown, and written for the tools that annotate."""
