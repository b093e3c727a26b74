"""What tag sequences are worth: entities, scores, and the file of predictions."""
