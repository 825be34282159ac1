"""What the lake's servers throw: `ServerTrouble` where waiting helps, `Stopped` where it never will."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from botocore.exceptions import BotoCoreError, ClientError
from pyiceberg.exceptions import CommitStateUnknownException, ServiceUnavailableError
from sqlalchemy.exc import DBAPIError, OperationalError, TimeoutError

from olist.clients.postgres import is_transient
from olist.errors import ServerTrouble, Stopped

# S3's error codes for what it will answer to every further try, in Arrow's spelling and in its own.
REFUSALS = frozenset(
    {
        "ACCESSDENIED",
        "ACCOUNTPROBLEM",
        "ALLACCESSDISABLED",
        "INVALIDACCESSKEYID",
        "INVALIDBUCKETNAME",
        "INVALIDCLIENTTOKENID",
        "INVALIDSIGNATURE",
        "MISSINGAUTHENTICATIONTOKEN",
        "NOSUCHBUCKET",
        "SIGNATUREDOESNOTMATCH",
        "UNRECOGNIZEDCLIENT",
    }
)
ARROW = re.compile(r"AWS Error (\w+) ")
WAY_OUT = "OLIST_S3, OLIST_S3_BUCKET, OLIST_S3_ACCESS_KEY and OLIST_S3_SECRET_KEY: `olist settings` shows them"


@contextmanager
def lake_errors() -> Iterator[None]:
    """Raise our errors for a storage or catalog that did not answer, or refused. A missing file is neither, but damage.

    Raises:
        ServerTrouble: away, busy, or the outcome of a commit is unknown.
        Stopped: a wrong key, bucket, password, role or database; a right that is missing.
    """
    try:
        yield
    except FileNotFoundError:
        raise
    except (OSError, BotoCoreError, ClientError) as error:
        if _code(error) in REFUSALS:
            raise Stopped(f"lake storage: {error}", hint=WAY_OUT) from error
        raise ServerTrouble("lake storage", str(error)) from error
    except DBAPIError as error:
        if _catalog_refuses(error):
            raise Stopped(f"lake catalog: {_first_line(error)}", hint="`olist settings` shows OLIST_CATALOG") from error
        raise ServerTrouble("lake catalog", _first_line(error)) from error
    except TimeoutError as error:
        raise ServerTrouble("lake catalog", str(error)) from error
    except (CommitStateUnknownException, ServiceUnavailableError) as error:
        raise ServerTrouble("lake catalog", f"the outcome of a commit is unknown: {error}") from error


def _code(error: Exception) -> str:
    """S3's error code in capitals, without what Arrow puts between its words."""
    if isinstance(error, ClientError):
        return str(error.response.get("Error", {}).get("Code", "")).upper()
    named = ARROW.search(str(error))
    return named[1].replace("_", "").upper() if named else ""


def _catalog_refuses(error: DBAPIError) -> bool:
    if isinstance(error.orig, psycopg.Error):
        return not is_transient(error.orig)
    return not (error.connection_invalidated or isinstance(error, OperationalError))


def _first_line(error: DBAPIError) -> str:
    """What the database said, without the statement that SQLAlchemy adds."""
    return str(error.orig or error).strip().partition("\n")[0]
