# SPDX-License-Identifier: MIT
"""Runs of the tests that are killed, that meet, or that find a machine on which the lab cannot run."""
from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.lab import namespaces, skip
from tests.lab.namespaces import PATH, PROJECT
from tests.lab.wait import until
from tests.test_lab import machine_state

#: A test that starts a lab and probes in it.
SMALL = "tests/test_lab.py::test_a_probe_says_open_refused_or_filtered"


class Run:
    """A run of pytest of its own, in whose processes a mark in the environment tells that they are its."""

    def __init__(self, tmp_path: Path, *arguments: str):
        self.mark = f"LAB_TEST_RUN={uuid.uuid4()}".encode()
        name, _, value = self.mark.decode().partition("=")
        self.temporary = tmp_path / value
        self.temporary.mkdir()
        outer = {key: text for key, text in os.environ.items() if not key.startswith("PYTEST_")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments], cwd=PROJECT,
            env=outer | {name: value, "TMPDIR": str(self.temporary)}, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def processes(self) -> dict[int, str]:
        """Its processes and their command lines: what has the mark, and what is in a process namespace of such."""
        found, inside = {}, {}
        for process in Path("/proc").glob("[0-9]*"):
            try:
                line = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                namespace = os.readlink(process / "ns/pid")
                if self.mark in (process / "environ").read_bytes().split(b"\0"):
                    found[int(process.name)] = (namespace, line)
                inside[int(process.name)] = (namespace, line)
            except OSError:
                pass  # it has ended, or is another user's
        own = {namespace for namespace, _ in found.values()} - {os.readlink("/proc/self/ns/pid")}
        return {pid: line for pid, (namespace, line) in inside.items() if pid in found or namespace in own}

    def find(self, part: str) -> list[int]:
        """Its processes with a word in their command lines, oldest first."""
        return sorted(pid for pid, line in self.processes().items() if part in line)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[..., Run]]:
    runs = []

    def start(*arguments: str) -> Run:
        runs.append(Run(tmp_path, *arguments))
        return runs[-1]

    yield start
    for each in runs:
        each.process.kill()
        each.process.wait()
        each.process.stdout.close()


def outside() -> list[str]:
    """Rules, interfaces and named namespaces outside of any lab, and what is mounted where a lab mounts something."""
    links, names, mounts, *rules = machine_state()
    places = {"/etc", "/media", "/mnt", "/proc", "/run", "/run/netns"}
    return [links, names, *(line for line in mounts.splitlines() if line.split()[1] in places), *rules]


#: What shows, by a part of its command line, how far a run has come; each stays to the end of its lab at least.
MOMENTS = {"a worker": "import sys;exec", "the template": "cat ", "the anchor": "--kill-child",
           "a host": "sleep infinity", "a probe": "python3 -IS /run/agent.pyc"}


@pytest.mark.parametrize(("victim", "moment"), [
    *(("the run", moment) for moment in MOMENTS), ("a worker", "the template"), ("a worker", "a probe"),
    ("the template", "a host"), ("the anchor", "the anchor"), ("the anchor", "a probe")])
def test_nothing_is_left_of_a_run_that_is_killed(run, victim: str, moment: str):
    """kill -9, while labs start and after it. "The anchor" is its parent, the one that the tests know."""
    skip.without_lab(namespaces.why_not())
    before = outside()
    killed = run("--numprocesses=1", "--max-worker-restart=0", "--exitfirst", "tests/test_domain_0.py",
                 "-k", "test_cycle and nf-off")
    until(lambda: killed.find(MOMENTS[moment]) != [], f"the run has come to {moment}", killed.process)
    os.kill(killed.process.pid if victim == "the run" else killed.find(MOMENTS[victim])[0], signal.SIGKILL)
    killed.process.communicate(timeout=namespaces.HUNG)
    assert killed.process.returncode != 0
    until(lambda: killed.processes() == {}, "every process of the run has ended")
    assert outside() == before
    # pytest keeps the folders of the last runs; that is all.
    assert [path.name.partition("-")[0] for path in killed.temporary.iterdir()] in ([], ["pytest"])


def test_two_runs_at_once_do_not_meet(run):
    """Two runs of the same tests, whose hosts have the same names and addresses."""
    skip.without_lab(namespaces.why_not())
    runs = [run("tests/test_domain_0.py", "-k", "test_cycle and nf-off and nftables") for _ in range(2)]
    for each in runs:
        said, _ = each.process.communicate()
        assert each.process.returncode == 0, said


def test_two_labs_at_once_do_not_meet(make_lab):
    """Nor do two labs of one run, which have their template in common."""
    one, other = make_lab("domain-0"), make_lab("domain-0")
    rules = other["node-a"].rules()
    one["node-a"].listen(8002)
    one["node-a"].sh("nft -f domain-0/firewall.nft; hostname changed; ip address add 203.0.113.99 dev xenbr0; "
                     "echo changed | tee /etc/hosts /etc/new /run/new /media/new /run/examples/undo-in.sh")
    assert other["outsider"].probe(other["node-a"].address(), 8002) == "refused"
    assert other["node-a"].rules() == rules
    assert other["node-a"].run("hostname").stdout == "node-a\n"
    assert "203.0.113.99" not in other["node-a"].run("ip", "address").stdout
    there = other["node-a"].sh("cat /etc/hosts undo-in.sh; ls /etc /run /media").stdout.splitlines()
    assert "changed" not in there and "new" not in there
    assert "new" in one["node-a"].sh("ls /etc").stdout.splitlines()
    late = make_lab("domain-0")["node-a"].sh("cat /etc/hosts undo-in.sh; ls /etc /run /media").stdout.splitlines()
    assert "changed" not in late and "new" not in late


def stub(folder: Path, program: str, script: str) -> str:
    """Shell commands that put a script in the place of a program, which it finds as $real."""
    found = os.path.realpath(shutil.which(program, path=PATH))
    shutil.copy(found, folder / f"real-{program}")
    (folder / program).write_text(f"#!/bin/sh\nreal={folder}/real-{program}\n{script}\n")
    (folder / program).chmod(0o755)
    return f"mount --bind {folder / program} {found}"


NO_IPV6 = 'case "$*" in -6*) echo "RTNETLINK answers: Operation not supported" >&2; exit 2 ;; esac; exec "$real" "$@"'
NO_NFTABLES = 'echo "Error: Could not process rule: Operation not supported" >&2; exit 1'


@pytest.mark.parametrize("ci", [False, True], ids=["by-hand", "ci"])
@pytest.mark.parametrize(("machine", "words"), [
    ("no IPv6", ["ip -6 address add", "Operation not supported", "ipv6.disable"]),
    ("no nftables in the kernel", ["nft add table", "Operation not supported", "sudo modprobe nf_tables"]),
    ("no nft", ["not installed: nft;", "sudo ./install-packages.sh test"]),
    ("no user namespaces", ["unshare", "sudo make test"]),
])
def test_a_machine_without_is_a_named_skip(tmp_path: Path, ci: bool, machine: str, words: list[str]):
    """And with CI=true a failure; it never passes."""
    skip.without_lab(namespaces.why_not())
    as_root = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--user", "--map-root-user"])]
    change = {
        "no IPv6": lambda: stub(tmp_path, "ip", NO_IPV6),
        "no nftables in the kernel": lambda: stub(tmp_path, "nft", NO_NFTABLES),
        "no nft": lambda: f"mount --bind /dev/null {os.path.realpath(shutil.which('nft', path=PATH))}",
        # One is allowed, for the user who is not root; the one of the lab would be the second.
        "no user namespaces": lambda: "echo 1 >/proc/sys/user/max_user_namespaces",
    }[machine]()
    if machine == "no user namespaces":
        as_root = ["unshare", "--user", "--map-root-user"]
        change += "; set -- unshare --user --map-user=1000 --map-group=1000 \"$@\""
    environment = {key: value for key, value in os.environ.items() if key != "CI" and not key.startswith("PYTEST_")}
    done = subprocess.run(
        [*as_root, "sh", "-ec", f'{change}; exec "$@"', "sh",
         sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", f"--basetemp={tmp_path}/pytest", SMALL],
        cwd=PROJECT, env=environment | {"CI": "true"} if ci else environment, capture_output=True, text=True)
    assert done.returncode == (1 if ci else 0), done.stdout + done.stderr
    assert ("1 failed" if ci else "1 skipped") in done.stdout and "passed" not in done.stdout
    assert "the lab cannot run: " in done.stdout
    for word in words:
        assert word in done.stdout, done.stdout
