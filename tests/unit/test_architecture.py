"""The arrows and the single homes of ARCHITECTURE.md, held by reading the code."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest

from olist.tables import TABLES

ROOT = Path(__file__).parents[2]
FOLDERS = ("producers", "stream_apps", "sinks", "compaction", "connect")
SOURCES = [path for folder in ("olist", *FOLDERS) for path in sorted((ROOT / folder).rglob("*.py"))]
# A word of plain language may also be a table's or a column's name; these are only names.
NAMES = {column.name for c in TABLES.values() for column in c.columns} | {t for t in TABLES if "_" in t}


def within(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def parsed(path: Path) -> ast.Module:
    """Its syntax tree, which most of these tests look at."""
    return ast.parse(path.read_text("utf-8"))


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def strings(path: Path) -> Iterator[str]:
    tree = parsed(path)
    prose = {
        node.body[0].value
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in prose:
            yield node.value


def keywords(path: Path) -> Iterator[str]:
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.keyword) and node.arg:
            yield node.arg


def names_of_environment(path: Path) -> Iterator[str]:
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "os":
            yield node.attr


@pytest.mark.parametrize("path", SOURCES, ids=within)
def test_folders_import_the_shared_language_and_never_each_other(path: Path) -> None:
    home = path.relative_to(ROOT).parts[0]
    foreign = {name for name in imports(path) if name.split(".")[0] in FOLDERS and name.split(".")[0] != home}
    assert not foreign, f"{within(path)} imports {foreign}; topics are where folders meet"


def folder_of(name: str) -> str | None:
    """The folder in which a dotted name's module lies; None for what is not ours."""
    path = ROOT.joinpath(*name.split("."))
    if path.is_dir():
        return within(path)
    return within(path.parent) if path.with_suffix(".py").exists() else None


def folders_used(path: Path) -> Iterator[str]:
    """The other folders that a file imports from."""
    for node in ast.walk(parsed(path)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            submodules = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if folder_of(name) else node.module for name in submodules]
        yield from (found for name in names if (found := folder_of(name)) and found != within(path.parent))


def circles(arrows: Mapping[str, set[str]]) -> set[frozenset[str]]:
    """Folders that lead to each other, by any way."""

    def reached(start: str) -> set[str]:
        found, left = set[str](), [start]
        while left:
            fresh = arrows.get(left.pop(), set()) - found
            found |= fresh
            left += fresh
        return found

    reaches = {folder: reached(folder) for folder in arrows}
    return {
        frozenset(other for other in ways if folder in reaches.get(other, ()))
        for folder, ways in reaches.items()
        if folder in ways
    }


def test_no_two_folders_import_each_other_at_any_depth() -> None:
    arrows: dict[str, set[str]] = defaultdict(set)
    for path in SOURCES:
        if path.name != "__main__.py":  # a way in, which nothing imports
            arrows[within(path.parent)] |= set(folders_used(path))
    assert not circles(arrows)


def test_a_circle_is_found_however_long_it_is() -> None:
    arrows = {"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": set[str](), "e": {"a"}}
    assert circles(arrows) == {frozenset("abc")}


def test_the_contract_between_deployer_and_engines_imports_neither() -> None:
    root = ROOT / "stream_apps"
    assert not {
        folder for path in root.glob("*.py") for folder in folders_used(path) if folder.startswith("stream_apps/")
    }


@pytest.mark.parametrize("path", SOURCES, ids=within)
def test_table_and_column_names_are_spelt_in_tables_alone(path: Path) -> None:
    if within(path) == "olist/tables.py" or path.parent == ROOT / "stream_apps" / "apps":
        return  # an app declares its own output, and its SQL speaks of columns
    assert not NAMES & set(strings(path)), f"{within(path)}: say it through olist.tables"


@pytest.mark.parametrize("path", SOURCES, ids=within)
def test_the_environment_is_read_in_settings_alone(path: Path) -> None:
    if within(path) in ("olist/settings.py", "olist/printable.py"):  # the second: whether colours are wanted, early
        return
    assert not {"environ", "getenv", "putenv"} & set(names_of_environment(path))


@pytest.mark.parametrize("path", SOURCES, ids=within)
def test_a_console_is_made_in_one_place(path: Path) -> None:
    made = {
        node.func.id
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert "Console" not in made, f"{within(path)}: `olist.terminal.console` hears NO_COLOR and cuts nothing"


@pytest.mark.parametrize("path", SOURCES, ids=within)
def test_the_debezium_envelope_is_known_in_changes_alone(path: Path) -> None:
    if within(path) == "olist/changes.py":
        return
    known = {"ts_us", "ts_ns", "txId", "before", "after", "snapshot", "sequence"}
    assert len(known & set(strings(path))) < 3, f"{within(path)} spells out an envelope; use olist.changes"


@pytest.mark.parametrize("path", SOURCES, ids=within)
def test_no_file_nears_five_hundred_lines(path: Path) -> None:
    assert len(path.read_text("utf-8").splitlines()) < 400


@pytest.mark.parametrize("path", SOURCES, ids=within)
def test_json_is_printed_in_one_place_that_escapes_what_a_terminal_obeys(path: Path) -> None:
    written = "click.echo(msgspec.json", "click.echo(json."
    assert not [one for one in written if one in path.read_text("utf-8")], "use olist.json_output"


CLIENTS = {
    "bootstrap.servers": "olist/clients/kafka.py",
    "properties.bootstrap.servers": "olist/clients/kafka.py",
    "bootstrap_servers": "stream_apps/faust/credentials.py",
}


@pytest.mark.parametrize("path", [*SOURCES, *sorted((ROOT / "benchmarks").rglob("*.py"))], ids=within)
def test_where_kafka_is_and_who_asks_is_said_in_one_file_for_each_library(path: Path) -> None:
    named = {*strings(path), *keywords(path)}
    assert not [name for name, home in CLIENTS.items() if name in named and within(path) != home], "use its options"


def calls(path: Path) -> Iterator[str]:
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func)


MAKERS: dict[str, set[str]] = {
    "aiokafka.AIOKafkaConsumer": {"stream_apps/faust/transport.py"},
    "boto3.Session": {"olist/clients/opensearch.py"},
    "boto3.client": {"olist/clients/s3.py"},
    "create_engine": set(),
    "opensearchpy.OpenSearch": {"sinks/opensearch/client.py"},
    "psycopg.connect": {"sinks/postgres/connection.py", "olist/clients/shop.py", "olist/stack/servers/postgres.py"},
}


@pytest.mark.parametrize("path", SOURCES, ids=within)
def test_a_client_is_made_in_the_one_file_that_knows_how(path: Path) -> None:
    found = {name for name in calls(path) if within(path) not in MAKERS.get(name, {within(path)})}
    assert not found, f"{within(path)} makes a client by itself: {found}"
