"""Large collections of bulk samples: what their genes tell, what the samples are, which are alike."""
