# SPDX-License-Identifier: MIT
"""The values in the examples are the parameters that ``topology.toml`` names and the pages list."""
from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from tests.lab import topology

sys.path.insert(0, str(topology.EXAMPLES))
import check_values  # noqa: E402

#: What the protocols fix, and no reader changes.
FIXED = {"fe80::/10", "::", "::/128", "0.0.0.0", "0.0.0.0/32", "lo", "22", "67", "68", "546", "547", "127.0.0.1",
         "16514", "49152-49216", "49152:49216"}
FILES = [path for path in sorted(topology.EXAMPLES.glob("*/*"))
         if path.suffix in (".nft", ".v4", ".v6", ".sxp", ".sh") or path.match("wg0-*.conf")]


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_every_value_is_a_parameter(path: Path):
    parameters = {name: str(value) for name, value in topology.load(path.parent.name).parameters.items()}
    reader = check_values.reader_of(str(path))
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        for name, text in reader(line):
            where = f"{path.name}:{number}: {name} {text}"
            if name.endswith(("_mark", "_allow", "_key")):
                continue
            if name.startswith(("allowed_source", "ssh_network", "source")):
                text = re.sub("/(32|128)$", "", text)
            if name in parameters:
                assert text == parameters[name], where
            else:
                assert text in FIXED | set(parameters.values()), where


@pytest.mark.parametrize("scenario", sorted(path.parent.name for path in topology.EXAMPLES.glob("*/topology.toml")))
def test_every_parameter_is_used(scenario: str):
    """What the page tells a reader to change is there to be changed."""
    used = {text for path in FILES if path.parent.name == scenario
            for line in path.read_text(encoding="utf-8").splitlines()
            for _, text in check_values.reader_of(str(path))(line)}
    assert {str(value) for value in topology.load(scenario).parameters.values()} <= used
