"""``corpuscle corpus check``."""
