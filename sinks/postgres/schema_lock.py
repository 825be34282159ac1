"""One process at a time changes the warehouse's schema: CREATE ... IF NOT EXISTS alone fails when two do it at once."""

ALONE = b"SELECT pg_advisory_xact_lock(hashtext('olist sink schema'))"
