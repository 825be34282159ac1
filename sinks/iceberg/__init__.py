"""The lake as a target: current rows by row delta and, where the contract says so, the history of changes.

Read in this order: `table`, then `olist.lake.table`, which does the work. `current_rows` reads a table back and holds
each file's rows against what its manifest says (`file_claims`); `resolve` accepts what another engine set back.
"""
