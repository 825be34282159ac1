"""Real or generated rows become timed change events: onto Kafka topics, or into the source database."""
