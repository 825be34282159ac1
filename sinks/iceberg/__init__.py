"""The lake as a target: current rows by row delta and, where the contract says so, the history of changes."""
