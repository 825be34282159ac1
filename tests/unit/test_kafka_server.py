from __future__ import annotations

import base64
import uuid

from hypothesis import example, given
from hypothesis import strategies as st

from olist.stack.servers.kafka import cluster_id


@given(st.uuids())
@example(uuid.UUID(bytes=b"\xfb" * 16))
def test_a_cluster_id_is_a_uuid_to_kafka_and_never_an_option_to_its_tool(seed: uuid.UUID) -> None:
    text = cluster_id(seed)

    assert not text.startswith("-")
    assert len(text) == 22
    assert len(base64.urlsafe_b64decode(f"{text}==")) == 16
