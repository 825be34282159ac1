"""Runs Flink apps: contracts and one SELECT become statements, statements become a plan, a plan becomes a job."""
