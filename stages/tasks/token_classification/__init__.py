"""Named entities: head, inference, metric, error analysis and report."""
