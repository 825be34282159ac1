"""A synthetic data set with the real one's shapes, of any size, the same for the same seed."""
