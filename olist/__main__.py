"""`python -m olist` is `olist`."""

from olist.cli.main import main

main()
