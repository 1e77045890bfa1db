# SPDX-License-Identifier: MIT
"""What a test does where the lab cannot run."""
from __future__ import annotations

import pytest


def without_lab(reason: str) -> None:
    """Skip the test if there is a reason why the lab cannot run; an empty one is none."""
    if reason:
        pytest.skip(f"the lab cannot run: {reason}")
