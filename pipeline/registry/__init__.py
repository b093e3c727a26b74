"""The registered models: versions, promotion, alias history, reproduction."""
