"""What two compiled plans have in common, judged by what their operators mean."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from stream_apps import catalogue
from stream_apps.app import FlinkApp
from stream_apps.deploy.kubernetes import job_file
from stream_apps.flink.compiled_plan import Plan, carries, continued, kind
from stream_apps.flink.job import Job
from stream_apps.flink.state_ttl import Remembered, forgetting
from tests.golden.apps import plan_of

Nodes = list[dict[str, Any]]

ORDERS, SELLERS = "ROW<`order_id` STRING, `after` ROW<`price` INT>, `seller_id` STRING>", "ROW<`seller_id` STRING>"
TERMS = [{"kind": "CALL", "internalName": "$IS NOT NULL$1", "operands": [n]} for n in range(3)]


def node(number: int, kind: str, row: str, *states: str, **more: Any) -> dict[str, Any]:
    """An operator with so many states."""
    kept = [{"index": at, "ttl": "0 ms", "name": name} for at, name in enumerate(states)]
    own = {"id": number, "type": f"stream-exec-{kind}_1", "outputType": row, "description": f"{kind} {number}"}
    return own | ({"state": kept} if kept else {}) | more


def scan(number: int, table: str, row: str) -> dict[str, Any]:
    return node(number, "table-source-scan", row, scanTableSource={"table": {"identifier": f"`c`.`d`.`{table}`"}})


def encoded(nodes: Nodes, edges: list[tuple[int, int]]) -> bytes:
    return msgspec.json.encode({"nodes": nodes, "edges": [{"source": a, "target": b} for a, b in edges]})


def nodes_of_a_join() -> Nodes:
    """Orders with their sellers, summed by seller, joined with the seller again."""
    condition = {"kind": "CALL", "internalName": "$AND$1", "operands": TERMS}
    return [
        scan(1, "orders", ORDERS),
        node(2, "changelog-normalize", ORDERS, "newest", filterCondition=condition),
        scan(3, "sellers", SELLERS),
        node(4, "changelog-normalize", SELLERS, "newest"),
        node(5, "join", "ROW<`order_id` STRING, `after` ROW<`order_id` INT>, `seller_id` STRING>", "left", "right"),
        node(6, "calc", "ROW<`order_id` STRING, `seller_id` STRING>", projection=["price"]),
        node(7, "group-aggregate", "ROW<`seller_id` STRING, `sum` INT>", "sums", grouping=[1], aggCalls=["SUM"]),
        node(8, "join", "ROW<`seller_id` STRING, `sum` INT>", "left", "right"),
        node(9, "calc", "ROW<`seller_id` STRING, `text` STRING>", projection=["sum"]),
        node(10, "sink", "ROW<`seller_id` STRING, `text` STRING>"),
    ]


EDGES = [(1, 2), (3, 4), (2, 5), (4, 5), (5, 6), (6, 7), (7, 8), (4, 8), (8, 9), (9, 10)]


def a_plan(**changes: Any) -> bytes:
    """With another value for a field of some operators, as ``_6_projection=...``."""
    nodes = nodes_of_a_join()
    for name, value in changes.items():
        _, number, field = name.split("_", 2)
        nodes[int(number) - 1][field] = value
    return encoded(nodes, EDGES)


def test_the_same_plan_is_restored() -> None:
    assert carries(a_plan(), a_plan()).road == "restored"


def test_the_order_in_which_flink_wrote_the_terms_of_a_condition_does_not_matter() -> None:
    turned = {"kind": "CALL", "internalName": "$AND$1", "operands": TERMS[::-1]}
    assert carries(a_plan(), a_plan(_2_filterCondition=turned)).road == "restored"


def test_a_change_after_the_last_state_leaves_old_rows_as_they_are() -> None:
    assert carries(a_plan(), a_plan(_9_projection=["sum * 2"])).road == "restored, old rows not rewritten"


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"_7_aggCalls": ["SUM", "COUNT"]}, "group-aggregate 7"),
        ({"_6_projection": ["price * 2"]}, "group-aggregate 7"),
        ({"_1_outputType": "ROW<`order_id` INT>"}, "table-source-scan 1"),
    ],
    ids=["one more aggregate", "another thing summed", "another type read"],
)
def test_state_made_of_something_else_is_refused_naming_the_first_operator_that_differs(
    changed: dict[str, Any], named: str
) -> None:
    verdict = carries(a_plan(), a_plan(**changed))
    assert verdict.road == "state refused"
    assert verdict.why.splitlines() == [f"- {named}", f"+ {named}"]


def test_an_operator_of_an_unknown_kind_is_taken_to_hold_state() -> None:
    assert carries(a_plan(), a_plan(_9_type="stream-exec-something-new_1")).road == "state refused"


def test_a_sink_that_keeps_rows_must_agree_too() -> None:
    kept = [{"index": 0, "ttl": "0 ms", "name": "rows"}]
    assert carries(a_plan(_10_state=kept), a_plan(_10_state=kept, _9_projection=["new"])).road == "state refused"


def with_one_more_calc() -> bytes:
    """The same plan with an operator in front of the sink, and every number above the fifth shifted by ten."""
    nodes, edges = copy.deepcopy(nodes_of_a_join()), list(EDGES)
    nodes.insert(9, node(11, "calc", "ROW<`seller_id` STRING, `text` STRING>", projection=["upper"]))
    edges = [*edges[:-1], (9, 11), (11, 10)]
    shift = {number: number + 10 if number > 5 else number for number in range(1, 12)}
    return encoded([n | {"id": shift[n["id"]]} for n in nodes], [(shift[a], shift[b]) for a, b in edges])


def test_a_continued_plan_calls_what_holds_state_by_its_old_numbers() -> None:
    found = Plan(continued(a_plan(), with_one_more_calc()))
    told = {number: str(node["description"]) for number, node in found.nodes.items()}
    assert {told[number] for number in (1, 2, 3, 4, 5, 7, 8, 10)} == {
        "table-source-scan 1",
        "changelog-normalize 2",
        "table-source-scan 3",
        "changelog-normalize 4",
        "join 5",
        "group-aggregate 7",
        "join 8",
        "sink 10",
    }
    assert all(told[number].endswith(f" {number}") for number in (1, 2, 3, 4, 5, 7, 8, 10))
    assert len(found.nodes) == 11


def test_a_continued_plan_means_what_it_meant() -> None:
    new = with_one_more_calc()
    assert carries(new, continued(a_plan(), new)).road == "restored"


def test_a_plan_that_is_refused_is_left_alone() -> None:
    new = a_plan(_7_aggCalls=["MAX"])
    assert continued(a_plan(), new) == new


def ttl_by_operator(remembered: dict[str, Remembered]) -> dict[int, list[str]]:
    found = Plan(forgetting(a_plan(), remembered))
    return {number: [s["ttl"] for s in node["state"]] for number, node in found.nodes.items() if "state" in node}


def test_only_states_about_rows_of_a_named_table_are_forgotten() -> None:
    day = Remembered(86_400_000, key=("order_id",))
    assert ttl_by_operator({"orders": day}) == {
        2: ["86400000 ms"],
        4: ["0 ms"],
        5: ["86400000 ms", "0 ms"],
        7: ["0 ms"],  # sums per seller
        8: ["0 ms", "0 ms"],  # and what is made of them
    }


def test_an_aggregate_by_the_key_of_a_named_table_is_forgotten_with_it() -> None:
    day = Remembered(86_400_000, key=("seller_id",))
    assert ttl_by_operator({"orders": day})[7] == ["86400000 ms"]


def test_nothing_is_forgotten_unless_a_table_is_named() -> None:
    assert {ttl for states in ttl_by_operator({}).values() for ttl in states} == {"0 ms"}


def test_a_state_that_begins_to_be_forgotten_is_not_the_same_state() -> None:
    day = Remembered(86_400_000, key=("order_id",))
    assert carries(a_plan(), forgetting(a_plan(), {"orders": day})).road == "state refused"


FLINK_APPS = sorted(name for name, app in catalogue.apps().items() if isinstance(app, FlinkApp))
TWO_YEARS = f"{timedelta(days=730) // timedelta(milliseconds=1)} ms"
CATALOGUE = ["newest by product_id", "newest by product_category_name"]
FOR_EVER = {
    "order_documents": [
        *CATALOGUE,
        "newest by seller_id",
        "join by product_id, side 1",
        "join by product_category_name, side 1",
        "join by seller_id, side 1",
    ],
    "sales_by_hour": [
        *CATALOGUE,
        "join by product_category_name, side 0",
        "join by product_category_name, side 1",
        "join by product_id, side 1",
        "sums by hour, customer_state, category",
    ],
    "seller_scores": [
        "newest by seller_id",
        "sums by seller_id",
        "sums by seller_id, purchase_month",
        "join by seller_id, side 0",
        "join by seller_id, side 1",
    ],
}
"""Every other state of these apps is about an order, and is forgotten two years after it was last written."""


def states_of(plan: bytes) -> Iterator[tuple[str, str]]:
    """Each state of a plan, in words, with its time to live."""
    words = {"changelog-normalize": "newest", "multi-join": "join", "group-aggregate": "sums"}
    for node in Plan(plan).nodes.values():
        for state in node.get("state", []):
            what = words[kind(node).removeprefix("stream-exec-")]
            found = re.search(r"(?:key|groupBy|commonJoinKey)=\[([^]]*)\]", node["description"])
            assert found is not None
            yield f"{what} by {found[1]}" + (f", side {state['index']}" if what == "join" else ""), state["ttl"]


@pytest.mark.parametrize("name", FLINK_APPS)
def test_our_apps_forget_what_is_of_an_order_and_keep_what_is_not(name: str) -> None:
    found = list(states_of(plan_of(name)))
    assert {ttl for _, ttl in found} == {"0 ms", TWO_YEARS}
    assert sorted(state for state, ttl in found if ttl == "0 ms") == sorted(FOR_EVER[name])


@pytest.mark.parametrize("name", FLINK_APPS)
def test_the_committed_plans_are_of_the_rules_that_say_what_is_forgotten(name: str) -> None:
    app, committed = catalogue.apps()[name], plan_of(name)
    assert isinstance(app, FlinkApp)
    compiled = Plan(committed)
    for node in compiled.nodes.values():
        for state in node.get("state", []):
            state["ttl"] = "0 ms"  # as Flink writes it
    assert forgetting(compiled.encode(), msgspec.json.decode(job_file(app), type=Job).remembered) == committed
