"""What the lake's servers throw, as `ServerTrouble`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import BotoCoreError, ClientError
from pyiceberg.exceptions import CommitStateUnknownException, ServiceUnavailableError
from sqlalchemy.exc import DBAPIError, TimeoutError

from olist.errors import ServerTrouble


@contextmanager
def lake_trouble() -> Iterator[None]:
    """Raise `ServerTrouble` for a storage or catalog that did not answer. A missing file is not trouble but damage."""
    try:
        yield
    except FileNotFoundError:
        raise
    except (OSError, BotoCoreError, ClientError) as error:
        raise ServerTrouble("lake storage", str(error)) from error
    except (DBAPIError, TimeoutError) as error:
        raise ServerTrouble("lake catalog", str(error)) from error
    except (CommitStateUnknownException, ServiceUnavailableError) as error:
        raise ServerTrouble("lake catalog", f"the outcome of a commit is unknown: {error}") from error
