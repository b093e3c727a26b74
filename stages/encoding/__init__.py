"""Words to sub-words, windows, and the Arrow files that cross from tokenize to train and evaluate."""
