"""Model-ready data sets on disk: quality control, non-zero medians, vocabularies and rank-value tokens."""
