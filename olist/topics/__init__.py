"""Topics: made from contracts, described, looked at."""
