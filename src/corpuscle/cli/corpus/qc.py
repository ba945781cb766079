"""``corpuscle corpus qc``."""
