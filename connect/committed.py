"""The committed configurations: what the contracts give under the default settings. A test holds them fresh.

`python -m connect.committed` renews them; look at the diff before you commit it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from connect import mongodb, postgres
from connect.postgres import Config
from olist.settings import Settings

FOLDER = Path(__file__).with_name("rendered")
RENEW = "python -m connect.committed"
CONNECTORS: dict[str, Callable[[Settings], Config]] = {"postgres": postgres.render, "mongodb": mongodb.render}


def text(config: Config) -> str:
    """As it is committed."""
    return msgspec.json.format(msgspec.json.encode(config), indent=2).decode() + "\n"


def rendered() -> dict[str, str]:
    """File name -> text, under the default settings, whatever this machine's are."""
    defaults = Settings.model_construct()
    return {f"{name}.json": text(render(defaults)) for name, render in CONNECTORS.items()}


if __name__ == "__main__":
    for name, content in rendered().items():
        (FOLDER / name).write_text(content, encoding="utf-8")
