"""`olist marts`: the views that a BI tool connects to."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from olist.json_output import show_json
from olist.settings import settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sinks.postgres.marts.plan import Planned

output_option = click.option(
    "-o", "--output", type=click.Choice(["table", "json"]), default="table", help="How to print it."
)


@click.group("marts")
def command() -> None:
    """Views over the warehouse for BI tools: facts and dimensions, in the schema `mart`.

    \b
    olist marts apply     make them, or bring them up to date
    olist marts list      what there is
    olist marts diff      what apply would change; ends with 1 when that is anything
    olist marts drop      what would be removed; --yes does it
    """


@command.command("apply")
@output_option
def apply(output: str) -> None:
    """Make new views, replace changed ones, all or nothing. Doing it again changes nothing."""
    from sinks.postgres.marts.apply import DONE
    from sinks.postgres.marts.apply import apply as apply_views

    _print([{"view": p.view.qualified, "done": DONE[p.state], **_waits(p)} for p in apply_views(settings())], output)


@command.command("list")
@output_option
def list_views(output: str) -> None:
    """Every view: whether it is in the database as its file says, and what one row is."""
    found = _planned()
    rows = [{"view": p.view.qualified, "state": p.state, "comment": p.view.comment, **_waits(p)} for p in found]
    if output == "json":
        rows = [row | {"columns": p.view.columns} for row, p in zip(rows, found, strict=True)]
    _print(rows, output)


@command.command("diff")
@output_option
def diff(output: str) -> None:
    """What `apply` would change, from the database to the files. Ends with 0 when that is nothing, else with 1."""
    different = [planned for planned in _planned() if planned.state in ("new", "changed")]
    if output == "json":
        views = [{"view": p.view.qualified, "state": p.state, "difference": p.difference} for p in different]
        show_json(views)
    else:
        for planned in different:
            click.echo("\n".join(planned.difference))
        if not different:
            click.echo("nothing would change")
    sys.exit(1 if different else 0)


@command.command("drop")
@click.option("--yes", is_flag=True, help="Do it; without this it only shows what would be removed.")
@output_option
def drop(*, yes: bool, output: str) -> None:
    """Remove the views. No row is lost: they hold none."""
    from sinks.postgres.marts.apply import drop as drop_views

    names = drop_views(settings(), dry_run=not yes)
    if output == "json":
        show_json({"removed" if yes else "would_remove": names})
        return
    for name in names:
        click.echo(f"{'removed' if yes else 'would remove'} {name}")
    click.echo("`olist marts apply` makes them again" if yes else "nothing was removed; --yes does it")


def _planned() -> Sequence[Planned]:
    from sinks.postgres.marts.apply import planned

    return planned(settings())


def _waits(planned: Planned) -> dict[str, Any]:
    return {"waits_for": planned.missing} if planned.missing else {}


def _print(rows: list[dict[str, Any]], output: str) -> None:
    if output == "json":
        show_json(rows)
        return
    wide = max((len(row["view"]) for row in rows), default=0)
    for row in rows:
        view, state, *rest = row.values()
        about = [f"waits for {', '.join(text)}" if isinstance(text, tuple) else text for text in rest]
        click.echo(f"{view:<{wide}}  {state:<9}  {'; '.join(about)}".rstrip())
