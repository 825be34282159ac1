"""Pieces of Flink SQL as text, for app files and for what renders them. Pure; no engine is imported."""
