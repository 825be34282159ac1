"""The lake's bucket in an S3 of somebody else's."""

from __future__ import annotations

import boto3
import pytest

from olist.errors import BadInput
from olist.lake.catalog import open_catalog
from olist.settings import Settings
from olist.stack.local import Stack
from tests.commands import done, olist

pytestmark = pytest.mark.integration

MISSPELT = "lkae"


@pytest.fixture
def elsewhere(stack: Stack) -> Settings:
    """The stack's own S3, as one whose address was given."""
    return stack.settings.model_copy(update={"s3": stack.settings.s3_url, "s3_bucket": MISSPELT})


def buckets(settings: Settings) -> set[str]:
    client = boto3.client(
        "s3",
        endpoint_url=settings.s3_url,
        aws_access_key_id=settings.s3_access_key,
        aws_secret_access_key=settings.s3_secret_key.get_secret_value(),
        region_name=settings.s3_region,
    )
    return {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}


def test_a_bucket_that_is_not_there_is_refused_and_made_when_it_is_asked_for(elsewhere: Settings) -> None:
    with pytest.raises(BadInput, match=f"there is no bucket {MISSPELT}") as caught:
        open_catalog(elsewhere)
    assert "olist stack make-bucket" in caught.value.hint
    refused = olist(elsewhere, "sink", "run", "iceberg", "--tables", "sellers")
    assert (refused.returncode, f"there is no bucket {MISSPELT}" in refused.stderr) == (1, True), refused.stderr
    assert MISSPELT not in buckets(elsewhere)
    done(elsewhere, "stack", "make-bucket")
    assert MISSPELT in buckets(elsewhere)
    open_catalog(elsewhere).close()
