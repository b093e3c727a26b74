"""Words to tokens and windows, and the Arrow files between tokenize, train and evaluate."""
