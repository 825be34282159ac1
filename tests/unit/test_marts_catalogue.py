from __future__ import annotations

from pathlib import Path

import pytest

from sinks.postgres.marts.catalogue import MartView, mart_views

DOCS = Path(__file__).parents[2] / "docs" / "marts.md"

VIEW = MartView(
    "both",
    """
CREATE OR REPLACE VIEW mart.both AS
SELECT * FROM warehouse.left_table JOIN mart.other USING (id) JOIN warehouse.right_table USING (id);

COMMENT ON VIEW mart.both IS 'What''s in mart.elsewhere; and here.';
COMMENT ON COLUMN mart.both.id IS 'The key.';
""",
)


def test_what_a_view_reads_is_taken_from_its_query_and_not_from_its_comments() -> None:
    assert VIEW.tables == ("warehouse.left_table", "warehouse.right_table")
    assert VIEW.views == ("other",)


def test_a_views_comments_are_its_documentation() -> None:
    assert VIEW.comment == "What's in mart.elsewhere; and here."
    assert VIEW.columns == {"id": "The key."}


def test_a_view_comes_after_those_that_it_reads() -> None:
    seen: set[str] = set()
    for view in mart_views().values():
        assert set(view.views) <= seen
        seen.add(view.name)


@pytest.mark.parametrize("view", mart_views().values(), ids=lambda view: view.name)
def test_the_documents_name_every_view_and_column(view: MartView) -> None:
    told = DOCS.read_text("utf-8")
    assert [name for name in (view.name, *view.columns) if f"`{name}`" not in told] == []
