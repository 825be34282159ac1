"""What targets derive from the contracts, committed, so that a change of a contract shows what it does to each."""
