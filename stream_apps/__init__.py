"""Apps that read topics and write topics: `apps/` holds them, `app.py` says what one is, the rest runs them."""
