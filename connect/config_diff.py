"""What an apply would change, to be looked at before it does. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

MASKED = ("password", "secret", "connection.string")
HIDDEN = "********"
PROVIDER = "${"


@dataclass(frozen=True)
class SettingChange:
    """One setting: None where it is not there."""

    key: str
    old: str | None
    new: str | None

    def __str__(self) -> str:
        old, new = (_shown(self.key, value) for value in (self.old, self.new))
        if self.old is None:
            return f"+ {self.key} = {new}"
        if self.new is None:
            return f"- {self.key} = {old}"
        return f"~ {self.key} = {old} -> {new}"


def changes(old: Mapping[str, str] | None, new: Mapping[str, str]) -> list[SettingChange]:
    """The edits from one configuration to another, by key; `old` None: there is no connector yet."""
    had = old or {}
    return [
        SettingChange(key, had.get(key), new.get(key)) for key in sorted({*had, *new}) if had.get(key) != new.get(key)
    ]


def _shown(key: str, value: str | None) -> str:
    """A password that somebody typed in is not shown; the name of a provider's entry is."""
    secret = any(word in key for word in MASKED) and value is not None and not value.startswith(PROVIDER)
    return HIDDEN if secret else str(value)
