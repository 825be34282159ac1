"""SQL that apps share: lists of rows in a fixed order, and quotients rounded the same way everywhere. Pure text."""

from __future__ import annotations

from olist.contracts import Column, Integer, Row, columns_of
from stream_apps.flink_sql.envelope import COMMITTED
from stream_apps.flink_sql.text import concat, json_object, json_value, quoted, row_type, sortable


def json_list(row: type[Row], order_by: tuple[str, ...]) -> str:
    """An aggregate: the rows of a group as a JSON array, for a column of type `ListOf`.

    The group's columns are called as the row's are. ARRAY_AGG keeps the order of arrival, which a retraction changes,
    and Flink sorts no rows; texts it sorts. So each row is its JSON, the columns of `order_by` first and numbers (none
    negative) padded with blanks, and the array is the sorted texts. Together these columns must tell rows apart.
    """
    columns = {column.name: column for column in columns_of(row)}
    first = {name: sortable(columns.pop(name)) for name in order_by}
    rest = {name: json_value(quoted(name), column.type) for name, column in columns.items()}
    text = concat(json_object(first | rest), indent="    ")
    return f"CONCAT('[', ARRAY_JOIN(ARRAY_SORT(ARRAY_AGG({text})), ','), ']')"


def quotient(dividend: str, divisor: str, scale: int) -> str:
    """`dividend / divisor` to `scale` decimals, half rounded up; NULL where the divisor is 0.

    Both are expressions of whole numbers, none negative. Whole numbers all the way: Flink's decimal division rounds
    once by itself, and rounding twice is another number.
    """
    over, under = f"CAST({dividend} AS BIGINT)", f"CAST({divisor} AS BIGINT)"
    doubled = f"({2 * 10**scale} * {over} + {under}) / NULLIF(2 * {under}, 0)"
    return f"CAST({doubled} AS DECIMAL(18, 0)) * {10**-scale:.{scale}f}"


def cents(amount: str) -> str:
    """An amount of two decimals as a whole number of cents."""
    return f"CAST(CAST({amount} AS DECIMAL(18, 2)) * 100 AS BIGINT)"


def one_row(row: type[Row]) -> str:
    """An aggregate: the one row of a group as a ROW of its columns and `_committed_us`, called as in the group.

    For what a join by a parent's key has dealt out: when a row changes its parent, its two changes may overtake each
    other. An aggregate by the row's own key counts both and is right in any order, and what follows is keyed again.
    """
    columns = _with_commit(row)
    listed = ", ".join(quoted(column.name) for column in columns)
    return f"ARRAY_AGG(CAST(ROW({listed}) AS {row_type(columns)}))[1]"


def fields(of: str, row: type[Row], but: tuple[str, ...]) -> str:
    """The columns of what `one_row` made, under their own names; `of` is its qualified name.

    The group's key is not taken from it (`but`): of a ROW's field the planner does not know that it is a key.
    """
    names = [quoted(column.name) for column in columns_of(row) if column.name not in but]
    return ",\n  ".join(f"{of}.{name} AS {name}" for name in names)


def _with_commit(row: type[Row]) -> tuple[Column, ...]:
    return (*columns_of(row), Column(COMMITTED, Integer(64), nullable=False))
