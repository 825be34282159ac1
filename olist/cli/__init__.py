"""`olist`: each folder brings its commands through the entry-point group ``olist.commands``.

Reading order: `main` (the root command, and how a command ends), `summaries` (what `--help` says of each), `failure`,
`settings`, `demo`.
"""
