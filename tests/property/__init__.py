"""Properties that must hold for all input. Hypothesis searches for input that breaks them."""
