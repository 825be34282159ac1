"""What is shown of a value that may be a secret, or hold one."""

from __future__ import annotations

import re

from pydantic import SecretStr

HIDDEN = "********"
# A URL's user may have one, up to the last @ if it was not escaped; so may its query, or libpq's `key=value` form.
OF_A_USER = re.compile(r"(://[^:/@\s]*:).*(?=@)")
OF_A_KEY = re.compile(r"(password=)('[^']*'|[^&\s]*)", re.IGNORECASE)


def shown(value: object) -> str:
    """A setting's value, or a server's address, without the password that it is or holds."""
    if isinstance(value, SecretStr):
        return HIDDEN
    return OF_A_KEY.sub(rf"\1{HIDDEN}", OF_A_USER.sub(rf"\1{HIDDEN}", str(value)))
