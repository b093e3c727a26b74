"""Words to tokens, windows, and the Arrow files that cross from tokenize to train and evaluate."""
