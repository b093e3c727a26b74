"""Raw text as encoded windows."""
