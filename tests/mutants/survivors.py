# SPDX-License-Identifier: MIT
"""Reads ``survivors.toml``: the mutants that no test catches, and why that is right."""
from __future__ import annotations

import tomllib
from pathlib import Path

from tests.mutants.operators import Mutant

REASONS = Path(__file__).with_name("survivors.toml")


def read(text: str) -> dict[Mutant, str]:
    """The reason for each mutant that may survive. Raises ValueError for one without a reason, or with two."""
    reasons: dict[Mutant, str] = {}
    for entry in tomllib.loads(text).get("because", []):
        for described in entry["mutants"]:
            mutant = Mutant(**described)
            if mutant in reasons or not entry["reason"].strip():
                raise ValueError(f"one reason is expected for {mutant}")
            reasons[mutant] = entry["reason"]
    return reasons
