"""What an app's group and its own topics are called, and how those topics are set up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from olist.contracts import COMPACTED
from olist.settings import Settings
from stream_apps.app import FaustApp

# Records wait here until their key's worker has processed them, however long it was away; then they are purged.
BY_KEY_CONFIG = {"cleanup.policy": "delete", "retention.ms": "-1", "segment.bytes": str(64 << 20)}
# Two workers may write the same key while one does not yet know that it lost the partition (see `changelog.py`): an
# hour leaves both records there for the next one to choose from.
STATE_CONFIG = {**COMPACTED, "min.compaction.lag.ms": "3600000", "segment.bytes": str(64 << 20)}


@dataclass(frozen=True)
class Names:
    """Of one app and, when it is rebuilt beside the running one, one generation."""

    id: str

    @property
    def group(self) -> str:
        """The consumer group, and Faust's app id."""
        return self.id

    @property
    def by_key(self) -> str:
        """The topic of records forwarded to their keys."""
        return f"{self.id}.by-key"

    @property
    def state(self) -> str:
        """The topic of the states."""
        return f"{self.id}.state"


def names(settings: Settings, app: FaustApp[Any], generation: str = "") -> Names:
    """`<prefix>.<app>`, with the generation behind it if there is one."""
    return Names(f"{settings.topic_prefix}.{app.name}" + (f".{generation}" if generation else ""))
