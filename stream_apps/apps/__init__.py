"""The apps, a file each; `lexicon/` is what `review_signals` knows of words. `stream_apps.catalogue` finds them."""
