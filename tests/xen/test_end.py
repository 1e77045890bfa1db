# SPDX-License-Identifier: MIT
"""Nothing of a cluster outlives the tests, however they end."""
from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.lab import skip
from tests.lab.hypervisor import cluster
from tests.lab.hypervisor.packages import RELEASES
from tests.lab.namespaces import PROJECT
from tests.lab.wait import until

RUN = """
import os, sys, time
from tests.lab.hypervisor.cluster import Cluster
with Cluster("isolated-management-network", sys.argv[1]) as lab:
    print(os.stat(f"/proc/{lab.anchor}/ns/pid").st_ino, flush=True)
    time.sleep(600)
"""


HANGS = """
import time
from tests.xen import conftest
conftest.LIMIT = 40

def test_hangs(start_cluster):
    start_cluster("domain-0", "XEN")
    time.sleep(600)
"""


def processes_in(namespace: int) -> list[str]:
    """The names of the processes of a process namespace."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if os.stat(process / "ns/pid").st_ino == namespace:
                found.append((process / "comm").read_text().strip())
        except OSError:
            continue
    return found


def test_a_run_that_is_killed():
    """SIGKILL cannot be caught: the kernel ends the nodes with the process namespace that they are in."""
    skip.without_lab(cluster.why_not())
    run = subprocess.Popen([sys.executable, "-c", RUN, next(iter(RELEASES))], cwd=PROJECT, stdout=subprocess.PIPE,
                           text=True)
    namespace = int(run.stdout.readline())
    assert sum(name.startswith("qemu-system") for name in processes_in(namespace)) == 2
    run.send_signal(signal.SIGKILL)
    run.communicate()
    until(lambda: not processes_in(namespace), "the nodes have ended")


def test_a_test_that_hangs(tmp_path: Path):
    """It ends in time, as a failure with the nodes' consoles, and the run goes on to its summary."""
    skip.without_lab(cluster.why_not())
    (tmp_path / "test_hangs.py").write_text(HANGS.replace("XEN", next(iter(RELEASES))))
    run = subprocess.run([sys.executable, "-m", "pytest", "-p", "tests.xen.conftest", "-p", "no:cacheprovider",
                          "--rootdir", tmp_path, tmp_path], cwd=PROJECT, capture_output=True, text=True, timeout=300)
    assert "Hung: not at its end after 40 s" in run.stdout, run.stdout + run.stderr
    assert "--- console of node-a" in run.stdout
    assert run.stdout.splitlines()[-1].count("1 failed") == 1
