from __future__ import annotations

from datetime import date

import msgspec
import pytest
from click.testing import CliRunner
from rich.console import Console

from sinks.check.as_json import facts
from sinks.check.cli import command
from sinks.check.digest import Count, DayDifference
from sinks.check.explanation import Difference
from sinks.check.report import Finding, Report, State, TableReport
from sinks.check.view import day_lines, difference_lines, remarks, report_table, verdict

LIVE = Count(10, 0xABC << 100)


def report(*findings: Finding) -> Report:
    return Report(
        (
            TableReport(
                "parcels",
                "laws.parcels",
                LIVE,
                12,
                ("laws.parcels[0]@3: no key",),
                ("colour",),
                findings,
                undecodable_records=9,
                notes=("it grows",),
            ),
        )
    )


def plain(*lines: object) -> str:
    console = Console(width=200, color_system=None)
    with console.capture() as captured:
        for line in lines:
            console.print(line, highlight=False, soft_wrap=True)
    return captured.get()


@pytest.mark.parametrize(
    ("finding", "shown"),
    [
        (Finding("postgres", "equal", LIVE, LIVE), "10 equal"),
        (Finding("postgres", "different", LIVE, Count(9, 1), counts={"missing": 1}), "9 rows: 1 missing"),
        (
            Finding("opensearch", "different", LIVE, LIVE, counts={"different": 1, "geo": 2}),
            "10 rows: 1 different, 2 wrong points",
        ),
        (Finding("postgres", "behind", LIVE, LIVE, lag=1234), "10 behind by 1,234"),
        (Finding("postgres", "equal", LIVE, LIVE, refused_rows=1), "10 equal, 1 refused"),
        (Finding("postgres", "behind", LIVE, LIVE, lag=3, unjudged=2), "10 behind by 3, 2 not judged"),
        (Finding("topic", "stalled"), "stalled"),
        (Finding("postgres", "absent"), "absent"),
    ],
)
def test_a_cell_says_rows_and_state(finding: Finding, shown: str) -> None:
    assert shown in plain(report_table(report(finding)))


def test_the_verdict_says_all_equal_only_when_all_are() -> None:
    equal = Finding("postgres", "equal", LIVE, LIVE)
    assert "All equal: 1 comparisons" in plain(verdict(report(equal)))
    told = plain(verdict(report(equal, Finding("iceberg", "behind", LIVE, LIVE, lag=1))))
    assert "Not equal: 1 behind; 1 of 2 equal" in told


def test_the_verdict_says_that_rows_were_refused() -> None:
    told = plain(verdict(report(Finding("postgres", "equal", LIVE, LIVE, refused_rows=1234))))
    assert "All equal" not in told
    assert "1,234 rows are not what their last change says" in told


def test_differences_show_both_values_and_tell_null_from_the_empty_text() -> None:
    one = Difference("different", {"parcel_id": "p[1]"}, {"note": (None, ""), "label": ("[red]a", "b")})
    told = plain(*difference_lines(report(Finding("iceberg", "different", LIVE, Count(), differences=(one,)))))
    assert told == (
        "parcels in iceberg: different parcel_id='p[1]': "
        "note: topic null, iceberg ''; label: topic '[red]a', iceberg 'b'\n"
    )


def test_a_day_that_differs_shows_both_sides() -> None:
    day = DayDifference(date(2018, 8, 17), Count(3, 1), Count(2, 2))
    told = plain(*day_lines(report(Finding("iceberg", "different", days=(day,)))))
    assert "parcels in iceberg, 2018-08-17: topic 3 rows" in told


def test_remarks_name_refusals_bad_records_and_unknown_fields() -> None:
    findings = [
        Finding("postgres", "equal", LIVE, LIVE, refused=("laws.parcels[1]@7: a NUL",)),
        Finding("opensearch", "different", defects=("wrong id",)),
    ]
    told = plain(*remarks(report(*findings, Finding("iceberg", "broken", note="it lacks a column"))))
    assert "and 4 more" in told  # of nine that no reader takes, five are kept
    for part in ("a NUL", "no key", "colour", "it lacks a column", "wrong id", "it grows"):
        assert part in told


@pytest.mark.parametrize("state", ["equal", "different"])
def test_json_has_whole_digests_and_leaves_out_what_is_not_there(state: State) -> None:
    key = {"parcel_id": "p1", "at": date(2018, 8, 17)}
    some = (Difference("missing", key, rows=0),) if state == "different" else ()
    told = msgspec.to_builtins(facts(report(Finding("iceberg", state, LIVE, LIVE, differences=some))), enc_hook=str)
    (finding,) = told["tables"][0]["findings"]
    assert finding["found"] == {"rows": 10, "digest": f"{0xABC << 100:032x}"}
    assert ("differences" in finding) is (state == "different")
    assert told["equal"] is (state == "equal")
    assert msgspec.json.encode(told)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--wait", "soon"], "no time"),
        (["--targets", "oracle"], "no target named oracle"),
        (["--explain", "many"], "not a valid integer"),
    ],
)
def test_a_command_line_that_is_wrong_ends_with_2(arguments: list[str], said: str) -> None:
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 2
    assert said in result.output
