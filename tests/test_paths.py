# SPDX-License-Identifier: MIT
"""The paths that the pictures show are as they are: without the rules everybody gets through, with them only some."""
from __future__ import annotations

import pytest

from tests.lab.cycle import fail, succeed
from tests.lab.filters import apply_nft
from tests.lab.namespaces import Lab
from tests.lab.topology import EXAMPLES, Path, load

#: The hosts of each scenario that have rules, and which; those farthest from the target come first.
RULES = {
    "domain-0": {"node-a": ["domain-0/firewall"]},
    "isolated-management-network": {"node-a": ["isolated-management-network/firewall"]},
    "subnet-behind-a-firewall": {"border": ["subnet-behind-a-firewall/border"],
                                 "node-a": ["subnet-behind-a-firewall/firewall", "subnet-behind-a-firewall/guests"]},
    "untrusted-subnet": {"node-a": ["untrusted-subnet/firewall"]},
}


def probes(lab: Lab, paths: list[Path]) -> dict:
    """A probe for each path and each version of IP."""
    return {f"{path.source} -> {path.target}, IPv{version}": (
                lambda path=path, version=version: lab[path.source].probe(
                    lab[path.target].address(version, path.interface), path.port))
            for path in paths for version in (4, 6)}


def test_no_topology_with_paths_is_forgotten():
    assert set(RULES) == {file.parent.name for file in EXAMPLES.glob("*/topology.toml") if load(file.parent.name).paths}


@pytest.mark.parametrize("scenario", RULES)
def test_each_path_is_as_it_is_drawn(make_lab, scenario: str):
    """All get through; then, host by host, the rules stop those that they are said to stop, and nobody else."""
    lab = make_lab(scenario)
    paths = list(load(scenario).paths)
    for target, port in {(path.target, path.port) for path in paths}:
        lab[target].listen(port)
    succeed(probes(lab, paths))
    stopped: set[str] = set()
    for host in RULES[scenario]:
        for rules in RULES[scenario][host]:
            apply_nft(lab[host], rules)
        stopped.add(host)
        fail(probes(lab, [path for path in paths if path.stopped_by in stopped]))
        succeed(probes(lab, [path for path in paths if path.stopped_by not in stopped]))
    assert stopped == {path.stopped_by for path in paths} - {""}
