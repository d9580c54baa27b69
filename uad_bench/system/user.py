"""Who runs this program."""

from __future__ import annotations

import getpass
import os


def user_name() -> str:
    """Return the name that a person is logged in with; not every container has one."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"user {os.getuid()}"
