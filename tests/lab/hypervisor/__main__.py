# SPDX-License-Identifier: MIT
"""``prepare`` makes what the tests on Xen need; ``shell SCENARIO [VERSION]`` gives a maintainer a running cluster."""
from __future__ import annotations

import argparse
import readline  # noqa: F401, it gives input() a history
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from tests.lab.hypervisor import cluster, systemd
from tests.lab.hypervisor.cache import CacheError
from tests.lab.hypervisor.cluster import Cluster
from tests.lab.hypervisor.packages import RELEASES
from tests.lab.hypervisor.qemu import NodeError
from tests.lab.namespaces import LabError
from tests.lab.topology import EXAMPLES, TopologyError
from tests.transcripts.shell import Shell, ShellError

START = time.monotonic()


def say(line: str) -> None:
    """Print a line with the seconds that have passed."""
    print(f"{time.monotonic() - START:4.0f} s  {line}", flush=True)


def prepare() -> None:
    """Make the images and saved states, where they are not kept, those of both releases at the same time."""
    for kind, what in ((cluster.Kept, ""), (systemd.Kept, ", and with systemd and a disk")):
        with ThreadPoolExecutor(max_workers=len(RELEASES)) as pool:
            for kept in pool.map(lambda xen, kind=kind: cluster.kept(xen, say, kind), RELEASES):
                say(f"ready: {kept.release.name} with Xen {kept.release.xen}{what}")


def shell(scenario: str, xen: str) -> None:
    """Run lines on the hosts of a cluster, until the end of the input."""
    with ExitStack() as stack:
        lab = stack.enter_context(Cluster(scenario, xen, say=say))
        say(f"hosts: {', '.join(lab.hosts)}. The name of a host alone goes there; the end is Ctrl-D.")
        shells: dict[str, Shell] = {}
        host = lab.nodes[0].name
        while True:
            try:
                line = input(f"root@{host}# ")
            except (EOFError, KeyboardInterrupt):
                print()
                return
            if line in lab.hosts:
                host = line
            elif line:
                if host not in shells:
                    shells[host] = stack.enter_context(Shell(lab[host].popen))
                try:
                    said, status = shells[host].run(line, limit=600)
                except ShellError as error:
                    del shells[host]
                    said, status = f"{error.output}\n{error}: a new shell next time\n", 1
                print(said, end="" if not status else f"(exit status {status})\n")


def main() -> int | str:
    """The exit status, or the line that says why nothing can be done."""
    parser = argparse.ArgumentParser(
        usage="make xen-shell SCENARIO=NAME [XEN=VERSION], or make test-xen, which prepares")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("prepare")
    for_shell = commands.add_parser("shell", prog="make xen-shell", usage="make xen-shell SCENARIO=NAME [XEN=VERSION]")
    for_shell.add_argument("scenario", choices=sorted(path.parent.name for path in EXAMPLES.glob("*/topology.toml")))
    for_shell.add_argument("xen", nargs="?", choices=RELEASES, default=list(RELEASES)[-1])
    asked = parser.parse_args()
    if reason := cluster.why_not():
        return f"the Xen lab cannot run: {reason}"
    try:
        prepare() if asked.command == "prepare" else shell(asked.scenario, asked.xen)
    except (CacheError, NodeError, LabError, TopologyError) as error:
        return str(error)
    return 0


if __name__ == "__main__":
    sys.exit(main())
