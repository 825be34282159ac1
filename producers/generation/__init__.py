"""A synthetic data set with the real one's shapes, of any size, the same for the same seed.

Reading order: `shapes` and `words` (what was measured), `drawing` (random columns and ids), `frames` (columns to CSV),
`catalogue`, `orders` and `reviews` (the tables), `dataset` (all files).
"""
