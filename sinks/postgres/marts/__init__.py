"""What a BI tool connects to: plain SQL views over the warehouse, in the schema ``mart``.

A view is one file of `views/`, with its documentation as COMMENT statements; the loader takes the order from what the
files read.
"""
