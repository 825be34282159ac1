"""Write files so that a reader sees all of the old content or all of the new, whenever this process dies."""

from __future__ import annotations

import os
import threading
from pathlib import Path


def write_atomically(path: Path, content: bytes) -> None:
    """Replace a file at once. Its folder must be there; processes and threads that write the same file do not mix."""
    beside = path.with_name(f"{path.name}.{os.getpid()}-{threading.get_ident()}")
    beside.write_bytes(content)
    beside.replace(path)
