"""How every client of S3 reaches it: the one place that turns settings into a client library's options.

With `OLIST_S3_CREDENTIALS=aws` no keys are given, and each library looks for them where AWS's own do: variables of
the environment, a profile, the role of the container or the machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from olist.errors import BadInput
from olist.settings import Settings

Properties = dict[str, str]
KNOWN = ("s3.endpoint", "s3.access-key-id", "s3.secret-access-key", "s3.region")


def file_properties(settings: Settings) -> Properties:
    """PyIceberg's properties of the lake's files.

    Raises:
        BadInput: a role is asked for at the S3 of this machine, which is made with a key.
    """
    by_role = settings.s3_credentials == "aws"
    if by_role and settings.s3 is None:
        raise BadInput("OLIST_S3_CREDENTIALS=aws, but the S3 of this machine knows no role", hint="set OLIST_S3")
    keys = {
        "s3.access-key-id": settings.s3_access_key,
        "s3.secret-access-key": settings.s3_secret_key.get_secret_value(),
    }
    return {
        "s3.endpoint": settings.s3_url,
        **({} if by_role else keys),
        "s3.region": settings.s3_region,
        "s3.force-virtual-addressing": "false",
    }


def client(properties: Mapping[str, str | None], **timing: int) -> Any:
    """boto3's client by the same properties; `timing` is botocore's, or ``total_max_attempts``."""
    return _client(*(properties.get(name) for name in KNOWN), tuple(timing.items()))


@lru_cache(maxsize=4)
def _client(
    endpoint: str | None,
    access_key: str | None,
    secret_key: str | None,
    region: str | None,
    timing: tuple[tuple[str, int], ...],
) -> Any:
    import boto3  # heavy, and most commands never ask S3
    from botocore.config import Config

    chosen = dict(timing)
    attempts = chosen.pop("total_max_attempts", None)
    retries = {} if attempts is None else {"retries": {"total_max_attempts": attempts}}
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        region_name=region,
        config=Config(s3={"addressing_style": "path"}, **chosen, **retries),
    )
