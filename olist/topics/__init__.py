"""Topics: made from contracts, described, read, looked at; and the one of dead letters.

Reading order: `admin` (make, describe, delete), `broker` (many topics at once), `reader` (a stretch of a topic),
`dead_letters` (what a reader refuses), `record_decoding` and `record_format` (a record, for people), `tail`, `view`,
`cli`.
"""
