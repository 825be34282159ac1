"""What becomes of a bulk request's documents, with a server that follows a script."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import polars as pl
import pytest
from typing_extensions import override

from olist.errors import ServerTrouble, TargetRewound
from sinks.opensearch import documents
from sinks.opensearch.client import Client, Json
from sinks.opensearch.documents import LINES


class Scripted(Client):
    """Answers each request with the next statuses, and keeps what it was sent."""

    def __init__(self, answers: Iterable[list[int]]) -> None:
        self.answers = iter(answers)
        self.sent: list[bytes] = []

    @override
    def ask(self, method: str, path: str, body: Any = None, *, expected: Any = (), **params: Any) -> Json:
        self.sent.append(body)
        statuses = next(self.answers)
        items = [{"index": {"status": s, "error": {"reason": f"because {s}"}}} for s in statuses]
        return {"errors": any(s > 201 for s in statuses), "items": items}


def frame(count: int, size: int = 10) -> pl.DataFrame:
    return pl.DataFrame({LINES: [f"{n}".ljust(size - 1, ".") + "\n" for n in range(count)]})


def test_a_conflict_is_success() -> None:
    assert documents.send(Scripted([[201, 409, 200]]), "it", frame(3)) == []


def test_a_refused_document_is_named_by_its_row() -> None:
    refused = documents.send(Scripted([[201, 400, 409, 400]]), "it", frame(4))
    assert refused == [documents.Outcome(1, 400, "because 400"), documents.Outcome(3, 400, "because 400")]


def test_documents_without_room_are_sent_again_alone() -> None:
    client, pauses = Scripted([[201, 429, 400, 503], [429, 201], [201]]), list[float]()
    refused = documents.send(client, "it", frame(4), pauses.append)
    assert [outcome.row for outcome in refused] == [2]
    assert client.sent[1:] == [b"1........\n3........\n", b"1........\n"]
    assert pauses == [0.1, 0.2]


def test_a_server_that_stays_busy_is_trouble() -> None:
    pauses = list[float]()
    with pytest.raises(ServerTrouble, match="1 documents found no room: 429 because 429"):
        documents.send(Scripted([[429]] * documents.ATTEMPTS), "it", frame(1), pauses.append)
    assert sum(pauses) < 10


def test_an_index_that_is_gone_is_no_trouble_that_passes() -> None:
    with pytest.raises(TargetRewound, match="the index is gone"):
        documents.send(Scripted([[201, 404]]), "it", frame(2))


@pytest.mark.parametrize("status", [403, 500])
def test_any_other_status_is_trouble(status: int) -> None:
    with pytest.raises(ServerTrouble, match=f"it: {status} because {status}"):
        documents.send(Scripted([[201, status]]), "it", frame(2))


def test_requests_are_cut_by_size_between_documents() -> None:
    third = documents.REQUEST_BYTES // 3 + 1
    client = Scripted([[201, 201], [201, 201, 400], [201]])
    refused = documents.send(client, "it", frame(6, third))
    assert [len(body) // third for body in client.sent] == [2, 3, 1]
    assert [outcome.row for outcome in refused] == [4]
