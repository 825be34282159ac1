"""Any topic into any target: one contract, one runner, one folder per target."""
