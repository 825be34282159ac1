"""Do the targets hold exactly what the topics say? Recomputed from the topics, compared to the letter."""
