"""`olist topics`: ls, describe, tail. Looking changes nothing: no group is joined, no offset committed.

Each command imports what it uses: a help text, and `ls`, need not load what decodes records.
"""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import chain
from typing import TYPE_CHECKING

import click

from olist.json_output import show_json

if TYPE_CHECKING:
    from olist.contracts import Contract
    from olist.settings import Settings
    from olist.topics.tail import Tail

output = click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", help="how to print it")


@click.group("topics")
def group() -> None:
    """Look at topics: what is there, how it is set, which changes it holds."""


@group.command("ls")
@click.option("--all", "everything", is_flag=True, help="also topics outside the prefix")
@output
def ls(everything: bool, output: str) -> None:
    """List the topics of the prefix.

    OFFSETS is the end less the first offset over all partitions: no fewer than the records there, and more where
    compaction or transactions left holes.

    \b
    olist topics ls
    olist topics ls --all -o json
    """

    from olist.settings import settings
    from olist.terminal import show
    from olist.topics.broker import Broker
    from olist.topics.view import facts, topics_table

    current = settings()
    broker = Broker(current)
    names = [n for n in broker.names() if everything or n.startswith(f"{current.topic_prefix}.")]
    surveys = broker.survey(names)
    if output == "json":
        show_json([facts(survey) for survey in surveys])
        return
    show(topics_table(surveys))
    if not surveys:
        click.echo(f"no topic begins with {current.topic_prefix}.; `olist replay` makes them, --all shows others")


@group.command("describe")
@click.argument("topic")
@output
def describe(topic: str, output: str) -> None:
    """Show one TOPIC (or table): id, partitions, offsets, its own settings, and the contract's columns.

    \b
    olist topics describe orders
    olist topics describe olist.public.orders -o json
    """

    from olist.settings import settings
    from olist.terminal import console, show
    from olist.topics.broker import Broker
    from olist.topics.view import columns_table, configs_table, facts, partitions_table

    current = settings()
    broker = Broker(current)
    (survey,) = broker.survey([broker.find(topic, current.topic_prefix)])
    contract = contract_of(survey.state.topic, current)
    if output == "json":
        show_json(facts(survey, contract, whole=True))
        return
    shown = console()
    shown.print(f"[bold]{survey.state.topic}[/]  id {survey.state.topic_id}", soft_wrap=True)
    for table in (partitions_table(survey), configs_table(survey), columns_table(contract)):
        if table.row_count:
            show(table, to=shown)


@group.command("tail")
@click.argument("topic")
@click.option("-n", "records", type=click.IntRange(min=0), help="so many records; 10 unless a beginning is given")
@click.option("--offset", type=click.IntRange(min=0), help="from this offset of each partition")
@click.option("--since", metavar="TIME", help="from 10m, 2h, 1d ago, or an ISO time (UTC unless it has a zone)")
@click.option("--partition", type=int, help="this partition only")
@click.option("--key", metavar="KEY", help="""this key only: its value, or '{"column": "value", ...}'""")
@click.option("--everywhere", is_flag=True, help="with --key: in every partition, not only in the one it belongs to")
@click.option("-f", "--follow", is_flag=True, help="go on with what comes; Ctrl-C ends")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="json: one object a line")
def tail(
    topic: str,
    records: int | None,
    offset: int | None,
    since: str | None,
    partition: int | None,
    key: str | None,
    everywhere: bool,
    follow: bool,
    output: str,
) -> None:
    """Show the changes on a TOPIC (or table), decoded; of an update the fields that changed.

    Bad records are shown with the reason for which every reader refuses them; the rest goes on.

    \b
    olist topics tail orders                          the 10 newest changes
    olist topics tail orders -n 100 -f                the 100 newest, then whatever comes
    olist topics tail orders --since 10m              what came within 10 minutes
    olist topics tail orders --partition 2 --offset 500 -n 20
    olist topics tail orders --key 9f1c0a77de         the whole life of one order
    olist topics tail orders --key 9f1c0a77de --everywhere
    olist topics tail order_items --key '{"order_id": "9f1c0a", "order_item_id": 1}'
    olist topics tail orders -o json | jq .changed
    """
    if offset is not None and since is not None:
        raise click.UsageError("--offset and --since both say where to begin; give one of them")
    if everywhere and (key is None or partition is not None):
        raise click.UsageError("--everywhere is for --key, and without --partition")
    from olist.settings import settings
    from olist.topics.broker import Broker
    from olist.topics.record_format import as_json, line
    from olist.topics.tail import Tail, Wanted, key_bytes, moment

    current = settings()
    broker = Broker(current)
    name = broker.find(topic, current.topic_prefix)
    contract = contract_of(name, current)
    beginning = moment(since, datetime.now(UTC)) if since is not None else None
    if records is None and offset is None and beginning is None and key is None:
        records = 10
    wanted = Wanted(
        records, offset, beginning, partition, None if key is None else key_bytes(key, contract), everywhere
    )
    (survey,) = broker.survey([name])
    looked_at = Tail(broker, survey.state, contract, wanted)
    if key is not None and partition is None and not everywhere:
        click.echo(_where(looked_at), err=True)
    shown = as_json if output == "json" else line
    for seen in chain(looked_at.there(), looked_at.next() if follow else ()):
        # JSON is UTF-8 whatever the terminal's encoding is; a line shows there what it can.
        click.echo(shown(seen, contract).encode() if output == "json" else shown(seen, contract))


def _where(looked_at: Tail) -> str:
    """Said, since a record that another kind of producer wrote may lie in any partition."""
    (own,), count = looked_at.partitions, len(looked_at.state.end)
    return f"looking in partition {own} of {count}, where this key belongs; --everywhere looks in all"


def contract_of(topic: str, current: Settings) -> Contract | None:
    """The contract whose topic this is, if it is one's."""
    from olist.contract_registry import contracts

    return contracts().get(topic.removeprefix(f"{current.topic_prefix}."))
