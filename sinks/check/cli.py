"""`olist check`: do the targets hold exactly what the topics say?"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import click

from olist.contract_registry import derived
from olist.json_output import show_json
from olist.settings import settings
from olist.terminal import console, show
from sinks.base import TARGETS

SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600}
EXPLAINED = 10


def _seconds(_context: click.Context, _parameter: click.Parameter, value: str) -> float:
    """``60s``, ``5m``, ``1h`` or plain seconds."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh]?)", value.strip())
    if not match:
        raise click.BadParameter(f"{value!r} is no time; write 60s or 5m")
    return float(match[1]) * SECONDS[match[2]]


def _targets(_context: click.Context, _parameter: click.Parameter, value: str) -> list[str]:
    names = [name.strip() for name in value.split(",") if name.strip()] or list(TARGETS)
    if unknown := [name for name in names if name not in TARGETS]:
        raise click.BadParameter(f"no target named {', '.join(unknown)}; one of: {', '.join(TARGETS)}")
    return names


@click.command("check")
@click.option("--tables", default="", metavar="NAME[,NAME]", help="these tables; the default is all")
@click.option("--targets", default="", callback=_targets, metavar="NAME[,NAME]", help="these targets; default: all")
@click.option(
    "--wait", "wait_s", default="0", callback=_seconds, metavar="TIME", help="let the sinks catch up: 60s, 5m"
)
@click.option(
    "--explain",
    is_flag=False,
    flag_value=EXPLAINED,
    default=0,
    metavar="[N]",
    help="the first 10 (or N) differing keys",
)
@click.option("--days", is_flag=True, help="the days whose digests differ")
@click.option(
    "--data", type=click.Path(path_type=Path), help="compare the topics with these CSV files too (zip or folder)"
)
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", help="how to print it")
def command(
    tables: str, targets: list[str], wait_s: float, explain: int, days: bool, data: Path | None, output: str
) -> None:
    """Recompute the latest row per key from the topics and compare with every target, to the letter.

    Each target is compared with what it should hold where its own positions stand; how far that is from the topic's end
    is told apart. Nothing is created or changed.

    \b
    Ends with
      0  all is equal
      1  something differs, is not there, or cannot be the truth
      3  nothing differs, but a target is behind, moving or does not answer, or a transaction holds the topic's end back
      4  all is equal but for rows whose last change was refused: it is in the dead letters and not in the target

    \b
    olist check --wait 60s                       after a replay: let the sinks catch up first
    olist check --tables orders --explain        which orders differ, and in what
    olist check --targets iceberg --days         on which days
    olist check --data brazilian-ecommerce.zip   and do the topics hold what the files say?
    """
    from sinks.check.as_json import facts
    from sinks.check.run import check
    from sinks.check.view import day_lines, difference_lines, remarks, report_table, verdict
    from sinks.cli.sink import contracts_for

    shown = console()
    with console(stderr=True).status("") as status:  # stdout is for what programs read
        current = settings()
        report = check(
            current,
            contracts=contracts_for(None, tables),
            targets=targets,
            wait_s=wait_s,
            explain=explain,
            data=data,
            optional=() if tables.strip() else derived(),
            on_progress=status.update,
        )
    if output == "json":
        show_json(facts(report))
        sys.exit(report.exit_code)
    show(report_table(report), to=shown)
    for line in (*remarks(report), *(day_lines(report) if days else ()), *difference_lines(report)):
        shown.print(line, highlight=False, soft_wrap=True)
    shown.print(verdict(report))
    sys.exit(report.exit_code)
