"""The order's status moves, as a table that replayer, apps and checks share.

An order goes forward along `COURSE`, often leaving out steps that nobody recorded, or ends early in one of `CLOSED`.
Some real orders are cancelled after they were delivered. Nothing leaves a closed status.
"""

from __future__ import annotations

CREATED = "created"
APPROVED = "approved"
INVOICED = "invoiced"
PROCESSING = "processing"
SHIPPED = "shipped"
DELIVERED = "delivered"
CANCELED = "canceled"
UNAVAILABLE = "unavailable"

COURSE: tuple[str, ...] = (CREATED, APPROVED, INVOICED, PROCESSING, SHIPPED, DELIVERED)
CLOSED: tuple[str, ...] = (CANCELED, UNAVAILABLE)

MOVES: dict[str, tuple[str, ...]] = {
    CREATED: (APPROVED, INVOICED, PROCESSING, SHIPPED, DELIVERED, CANCELED, UNAVAILABLE),
    APPROVED: (INVOICED, PROCESSING, SHIPPED, DELIVERED, CANCELED, UNAVAILABLE),
    INVOICED: (PROCESSING, SHIPPED, DELIVERED, CANCELED, UNAVAILABLE),
    PROCESSING: (SHIPPED, DELIVERED, CANCELED, UNAVAILABLE),
    SHIPPED: (DELIVERED, CANCELED, UNAVAILABLE),
    DELIVERED: (CANCELED, UNAVAILABLE),
    CANCELED: (),
    UNAVAILABLE: (),
}


def may_move(old: str, new: str) -> bool:
    """Whether an order may change from one status to another; a status nobody knows may follow any open one."""
    return old in MOVES and (new in MOVES[old] or new not in MOVES)


def rank(status: str) -> int:
    """How far along the course a status is; a closed or unknown one is past its end."""
    return COURSE.index(status) if status in COURSE else len(COURSE)
