"""``corpuscle corpus tokenize``."""
