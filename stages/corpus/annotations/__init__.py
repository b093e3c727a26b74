"""Text with spans as annotation tools export it, and its conversion to words with tags."""
