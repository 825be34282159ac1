"""`python -m tests.golden` writes the derived files anew; look at the diff before you commit it."""

from __future__ import annotations

from tests.golden.derived import renew

for path in renew():
    print(path)
