"""The search index: one index per contract behind a filtered alias; versions make every repeat harmless."""
