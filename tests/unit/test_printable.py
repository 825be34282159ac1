from __future__ import annotations

import io
import json

import pytest
import structlog
from hypothesis import example, given
from hypothesis import strategies as st
from rich.table import Table

from olist import telemetry
from olist.errors import BadRecord, BadRow
from olist.json_output import show_json
from olist.printable import LINES, printable, printable_json
from olist.settings import Settings
from olist.terminal import Terminal, console, show

HOSTILE = "\x1b[2J\r\n\x07\x9b31m\u202eabc\u2028\ud800é😀"


@given(st.text())
@example(HOSTILE)
def test_what_is_shown_is_printable_and_what_was_printable_is_as_it_was(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    assert printable(shown) == shown
    if text.isprintable():
        assert shown == text


def test_letters_of_every_script_stay_and_lines_do_where_they_are_wanted() -> None:
    assert printable("café 東京 😀\n\x1b[1m") == "café 東京 😀\\n\\x1b[1m"
    assert printable("one\n\ttwo\r", LINES) == "one\n\ttwo\\r"


@given(st.recursive(st.text(st.characters(exclude_categories=["Cs"])), st.lists))
@example("\u202e\U000e0001\x7f")
def test_a_json_document_says_the_same_in_printable_characters(value: object) -> None:
    shown = printable_json(json.dumps(value, ensure_ascii=False))
    assert shown.isprintable()
    assert json.loads(shown) == value


def test_json_of_a_command_is_one_printable_line_that_says_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    hostile = HOSTILE.replace("\ud800", "")
    show_json({"note": hostile})
    line = capsys.readouterr().out.removesuffix("\n")
    assert line.isprintable()
    assert json.loads(line) == {"note": hostile}


def test_an_errors_reason_is_printable_since_it_may_quote_a_record_or_a_file() -> None:
    assert printable(BadRecord("t", 0, 1, HOSTILE).reason) == BadRecord("t", 0, 1, HOSTILE).reason
    assert str(BadRow("f", 1, "c", HOSTILE)).isprintable()


def test_a_log_line_is_one_line_whatever_it_quotes(capsys: pytest.CaptureFixture[str]) -> None:
    telemetry.configure_logging(Settings())
    try:
        structlog.get_logger().info(f"refused {HOSTILE}", key=HOSTILE)
    finally:
        structlog.reset_defaults()
    (line,) = capsys.readouterr().err.splitlines()
    assert line.isprintable()


def written(table: Table, width: int) -> list[str]:
    out = io.StringIO()
    show(table, prose=["meaning"], to=Terminal(file=out, width=width, force_terminal=True, color_system=None))
    return out.getvalue().splitlines()


ADDRESS = "postgresql://olist@127.0.0.1:15432/olist?application_name=a_long_one"
MEANING = "a sentence of some length that says what the address is for and wraps between its words"


@pytest.mark.parametrize("width", [20, 60, 80, 120, 132, 200])
def test_an_address_is_in_one_piece_at_every_width(width: int) -> None:
    table = Table("name", "address", "meaning", box=None)
    table.add_row("warehouse", ADDRESS, MEANING)
    lines = written(table, width)
    assert any(ADDRESS in line for line in lines)
    assert " ".join(" ".join(lines).split()).count("between") == 1
    assert "…" not in "".join(lines)


def test_prose_wraps_beside_what_does_not_where_there_is_room() -> None:
    table = Table("name", "address", "meaning", box=None)
    table.add_row("warehouse", ADDRESS, MEANING)
    assert len(written(table, 132)) > 2
    assert all(len(line) <= 132 for line in written(table, 132))
    assert len(written(table, 400)) == 2


def test_a_cell_is_shown_and_not_obeyed() -> None:
    table = Table("name", "address", "meaning", box=None)
    table.add_row("\x1b[31mred", "two\x9blines", "\u202eback")
    for width in (40, 400):
        assert all(line.isprintable() for line in written(table, width))


def test_a_file_gets_a_row_on_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table("name", "address", "meaning", box=None)
    table.add_row("warehouse", ADDRESS * 20, MEANING * 20)
    show(table, prose=["meaning"])
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert not console().is_terminal
