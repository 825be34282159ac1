"""What a caller may show while the stack installs and starts. The base class shows nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from olist.stack.state import ServerState


class Progress:
    """Told what happens; shows nothing."""

    @contextmanager
    def downloads(self, files: int, size: int) -> Iterator[Callable[[int], None]]:  # noqa: ARG002 - for those who show it
        """A download of `files` files and `size` bytes; call what it yields with each number of bytes that came."""
        yield lambda _: None

    def servers(self, states: Mapping[str, ServerState]) -> None:
        """The servers' states, whenever one may have changed."""
