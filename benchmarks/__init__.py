"""Figures of the docs come from here: `make bench`."""
