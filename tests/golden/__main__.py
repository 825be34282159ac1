"""`python -m tests.golden` writes the derived files anew; look at the diff before you commit it."""

from __future__ import annotations

from tests.golden import apps, derived

for path in (*derived.renew(), *apps.renew()):
    print(path)
