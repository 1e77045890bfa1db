# SPDX-License-Identifier: MIT
"""Waiting for a condition, never for a time."""
from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from typing import TypeVar

from tests.lab.namespaces import HUNG

T = TypeVar("T")


def until(condition: Callable[[], T], what: str, process: subprocess.Popen | None = None, limit: float = HUNG) -> T:
    """Return what ``condition()`` does as soon as it holds.

    Raises AssertionError that says ``what`` did not come about, after ``limit``
    seconds or as soon as ``process``, which was to bring it about, has ended.
    """
    deadline = time.monotonic() + limit
    while not (found := condition()):
        ended = process is not None and process.poll() is not None
        if ended or time.monotonic() > deadline:
            said = process.stderr.read() if ended and process.stderr else ""
            raise AssertionError(f"not yet: {what}. {said}")
        time.sleep(0.02)
    return found
