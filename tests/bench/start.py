# SPDX-License-Identifier: MIT
"""How long a lab takes to be up, beside nothing but its namespaces, links, addresses and routes."""
from __future__ import annotations

import subprocess
import tempfile
import time
from pathlib import Path
from statistics import median

from tests.lab import namespaces, topology
from tests.lab.namespaces import Lab

REPEATS = 15
#: Seconds in which the kernel takes down what was measured last; it does so behind our back, and says nowhere when.
SETTLING = 0.5


def largest() -> str:
    """The scenario with the most hosts."""
    scenarios = [file.parent.name for file in topology.EXAMPLES.glob("*/topology.toml")]
    return max(scenarios, key=lambda scenario: len(topology.load(scenario).hosts))


def in_one_batch(lab: Lab, folder: Path) -> list[str]:
    """The command that makes the same topology in one run of ip -batch.

    The batch makes a network namespace for each host and the wires between them. It then has ip run within each,
    for ip has no other way to give an interface of another namespace an address.
    """
    batch = [lab.wires()]
    for host in lab.topology.hosts.values():
        settings = folder / host.name
        settings.write_text(lab.settings(host) + "\n")
        batch.append(f"netns exec {host.name} ip -batch {settings}")
    (folder / "batch").write_text("\n".join(batch) + "\n")
    # /run, where ip keeps the names of namespaces, is not the machine's.
    return [*namespaces.unshare(), "--net", "sh", "-ec", f"mount -t tmpfs tmpfs /run; exec ip -batch {folder}/batch"]


def seconds(lab: Lab, command: list[str]) -> tuple[float, float]:
    """What the lab takes to be up, and the command to end."""
    begin = time.perf_counter()
    with lab:
        up = time.perf_counter() - begin
    time.sleep(SETTLING)
    begin = time.perf_counter()
    subprocess.run(command, check=True)
    ended = time.perf_counter() - begin
    time.sleep(SETTLING)
    return up, ended


def main() -> None:
    """Print the ratio: of the first lab of a process, which lays out what all share, and of those after it."""
    if reason := namespaces.why_not():
        print(f"left out: the lab's start: {reason}")
        return
    scenario = largest()
    with tempfile.TemporaryDirectory() as folder:
        lab = Lab(scenario)
        command = in_one_batch(lab, Path(folder))
        first, *runs = [seconds(lab, command) for _ in range(1 + REPEATS)]
    up, batch = (median(column) for column in zip(*runs))
    print(f"{median(lab / ip for lab, ip in runs):5.2f} of the same topology in one ip -batch run: a lab of "
          f"{scenario}, {len(lab.topology.hosts)} hosts ({up * 1000:.0f} ms; ip -batch {batch * 1000:.0f} ms)")
    print(f"{first[0] / first[1]:5.2f} of the same: the first lab of a process ({first[0] * 1000:.0f} ms)")
