"""What one table of a sink is doing: running, waiting, or stopped by its error. Decides; does nothing.

| error | state | comes back |
|---|---|---|
| `ServerTrouble` | waiting | after pauses that grow to 5 s; stopped when it outlasts the patience |
| `Fenced` | waiting | the same way: it may be the heir of a commit that was still on its way; ten times, then stopped |
| `ContractRefused`, `PositionRefused` | stopped | is opened again every 30 s: somebody may have put it right |
| any other | stopped | when the process starts again |
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from olist.errors import ContractRefused, Fenced, PositionRefused, ServerTrouble, TargetRewound

StateName = Literal["running", "waiting", "stopped"]
STATES: tuple[StateName, ...] = get_args(StateName)

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 5.0
REOPEN_AFTER_S = 30.0  # a table that stopped; and so long without an error makes a new one the first
MAX_FENCED = 10  # times without a commit; by then a member that the group has given up knows it
LOG_AGAIN_S = 60.0


@dataclass
class TableState:
    """The state that a table is in, and how it came there. Times are of one monotonic clock, in seconds."""

    patience_s: float
    name: StateName = "running"
    error: BaseException | None = None  # the newest; None once something was written after it
    retry_at: float | None = None
    _since: float = 0.0  # when the first of these errors came
    _resumed_at: float = 0.0
    _pause_s: float = FIRST_PAUSE_S
    _fenced: int = 0
    _logged_at: float | None = None

    @property
    def is_running(self) -> bool:
        """Whether it takes records."""
        return self.name == "running"

    @property
    def has_stopped(self) -> bool:
        """Whether it takes nothing before somebody has put something right."""
        return self.name == "stopped"

    @property
    def is_final(self) -> bool:
        """Whether only another process may try again: what stopped it would do more harm the second time."""
        return self.has_stopped and self.retry_at is None

    def failed(self, error: BaseException, now: float) -> None:
        """An attempt has ended with an error."""
        if self.error is None or (self.is_running and now - self._resumed_at > REOPEN_AFTER_S):
            self._since, self._pause_s, self._fenced = now, FIRST_PAUSE_S, 0
            self._logged_at = None
        self.error = error
        self._fenced += isinstance(error, Fenced) and not isinstance(error, TargetRewound)
        if self._is_transient(error, now):
            self.name, self.retry_at = "waiting", now + self._pause_s
            self._pause_s = min(self._pause_s * 2, LONGEST_PAUSE_S)
            return
        if not self.has_stopped:
            self._logged_at = None
        again = isinstance(error, ServerTrouble | Fenced | ContractRefused | PositionRefused)
        self.name, self.retry_at = "stopped", now + REOPEN_AFTER_S if again else None

    def resumed(self, now: float) -> None:
        """The table was opened again; only a commit shows that the error is over."""
        self.name, self.retry_at, self._resumed_at = "running", None, now

    def committed(self) -> None:
        """A batch was committed."""
        self.error = None

    def is_due(self, now: float) -> bool:
        """Whether it is time to open the table again."""
        return self.retry_at is not None and self.retry_at <= now

    def is_due_for_log(self, now: float) -> bool:
        """True when the error is to be logged: at once, and then each minute."""
        if self.is_running or (self._logged_at is not None and now - self._logged_at < LOG_AGAIN_S):
            return False
        self._logged_at = now
        return True

    def _is_transient(self, error: BaseException, now: float) -> bool:
        if isinstance(error, ServerTrouble):
            return now + self._pause_s - self._since <= self.patience_s
        return isinstance(error, Fenced) and self._fenced <= MAX_FENCED
