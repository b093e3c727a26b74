"""How a training run saw each of its examples: recorded while it trains, kept with the model, read for suspects."""
