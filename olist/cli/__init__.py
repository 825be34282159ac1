"""`olist`: each folder brings its commands through the entry-point group ``olist.commands``."""
