"""Where class scores come from: one file a source, each giving :class:`~corpuscle.annotate.scores.Scores`."""
