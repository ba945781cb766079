"""``corpuscle corpus medians``."""
