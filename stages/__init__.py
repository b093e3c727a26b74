"""What is computed: four recipes, tokenize -> train -> evaluate -> register, and the rooms that they use."""
