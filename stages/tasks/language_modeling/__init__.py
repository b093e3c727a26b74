"""Raw text, of which masked words are predicted: an encoder goes on with its pre-training."""
