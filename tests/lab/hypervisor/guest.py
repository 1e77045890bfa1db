# SPDX-License-Identifier: MIT
"""Guests on a node of the Xen lab: one that counts (``guest.c``), and a Linux with a network, to attack with."""
from __future__ import annotations

import functools
import itertools
import re
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.lab.hypervisor.packages import run
from tests.lab.namespaces import Host
from tests.lab.wait import until

FLAGS = ("-O1 -ffreestanding -nostdlib -static -fno-pic -no-pie -fno-stack-protector -fcf-protection=none "
         "-fno-asynchronous-unwind-tables -mgeneral-regs-only -mno-red-zone -Wall -Wextra -Werror "
         "-Wl,-Ttext-segment=0x100000,--build-id=none,-z,noexecstack,-e,start").split()
#: The kinds of guests, and the kind of machine that the program of each is for.
KINDS = {"pvh": "-m32", "pv": "-m64"}

#: Seconds that a migration may take: five times what was measured on a quiet machine.
MIGRATION = 150
#: Seconds in which a guest that runs prints something.
PATIENCE = 30
#: Seconds in which a Linux guest starts, or runs a command: five times what was measured on a quiet machine.
START = 120


@functools.cache
def programs() -> dict[str, bytes]:
    """The guest as a program, compiled here, for each kind."""
    with tempfile.TemporaryDirectory() as folder:
        for kind, machine in KINDS.items():
            run(["gcc", machine, *FLAGS, Path(__file__).with_name("guest.c"), "-o", Path(folder, kind)])
        return {kind: Path(folder, kind).read_bytes() for kind in KINDS}


@dataclass(frozen=True)
class Line:
    """What the guest prints each second."""

    name: str
    identity: str
    count: int


@dataclass(frozen=True)
class Guest:
    """A guest by its name; ``kind`` is ``pvh`` or ``pv``."""

    name: str
    kind: str = "pvh"

    @property
    def configuration(self) -> str:
        """What xl has to know about it."""
        return (f'name = "{self.name}"\ntype = "{self.kind}"\nkernel = "/lab/guest-{self.kind}"\nmemory = 8\n'
                'vcpus = 1\non_crash = "preserve"\n')

    def create(self, node: Host) -> None:
        """Start it on a node, and wait until it counts."""
        node.run("tee", f"/etc/xen/{self.name}.cfg", input=self.configuration)
        node.run("xl", "create", f"/etc/xen/{self.name}.cfg")
        self.next_line(node)

    def migrate(self, node: Host, address: str, *options: str) -> subprocess.CompletedProcess[str]:
        """Have a node send it to an address; whether that worked, the caller sees."""
        return node.run("xl", "migrate", *options, self.name, address, check=False, timeout=MIGRATION)

    def listed(self, node: Host) -> bool:
        """Whether the node has it, under its own name."""
        return node.run("xl", "domid", self.name, check=False).returncode == 0

    def line(self, node: Host) -> Line | None:
        """What it has printed last on a node, also while it was coming in."""
        logs = [f"/var/log/xen/console/guest-{self.name}{suffix}.log" for suffix in ("", "--incoming")]
        said = node.run("cat", *logs, check=False).stdout
        lines = [line.split() for line in said.replace("\r", "").split("\n")[:-1]]
        found = [Line(words[0], words[1], int(words[2])) for words in lines if len(words) == 3 and words[2].isdigit()]
        return max(found, key=lambda line: line.count, default=None)

    def next_line(self, node: Host) -> Line:
        """A line that it has not printed yet: it runs there. Raises AssertionError where none comes."""
        before = self.line(node)
        return until(lambda: (now := self.line(node)) != before and now,
                     f"{self.name} prints on {node.name}, where the last was {before}", limit=PATIENCE)


class LinuxGuest:
    """A guest with a network card on a bridge of its node, and with busybox; commands go in by its console.

    ``addresses`` are those of its card, with their prefix lengths, ``routes`` what ``ip route add`` takes.
    """

    def __init__(self, name: str, node: Host, bridge: str, addresses: Sequence[str], routes: Sequence[str]):
        self.name = name
        self.node = node
        self._log = f"/var/log/xen/console/guest-{name}.log"
        self._numbers = itertools.count(1)
        node.run("tee", f"/etc/xen/{name}.cfg", input=(
            f'name = "{name}"\ntype = "pvh"\nkernel = "/lab/guest-linux"\nramdisk = "/lab/guest-linux.cpio"\n'
            f'extra = "console=hvc0 quiet"\nmemory = 112\nvcpus = 1\nvif = ["bridge={bridge}"]\n'))
        node.run("xl", "create", f"/etc/xen/{name}.cfg")
        self._wait_for(r"^ready$")
        self._tty = node.sh(f"xenstore-read /local/domain/$(xl domid {name})/console/tty").stdout.strip()
        for address in addresses:
            self.run(f"ip address add {address} dev eth0")
        self.run("ip link set eth0 up")
        for route in routes:
            self.run(f"ip route add {route}")

    def run(self, command: str) -> tuple[int, str]:
        """Run a line of shell; its exit status and what it printed. Raises AssertionError where it does not end."""
        number = next(self._numbers)
        before = len(self._said())
        self.node.run("tee", self._tty, input=f"{number} {command}\n")
        ended = self._wait_for(rf"^end {number} (\d+)$", before)
        return int(ended[1]), ended.string[:ended.start()]

    def probe(self, address: str, port: int) -> str:
        """Try to connect by TCP: ``open``, ``refused`` or ``filtered``, as :meth:`Host.probe` says it."""
        status, said = self.run(f"nc -w 3 {address} {port} -e /bin/true")
        if status == 0:
            return "open"
        return "refused" if "refused" in said else "filtered"

    def _said(self) -> str:
        return self.node.run("cat", self._log, check=False).stdout.replace("\r", "")

    def _wait_for(self, pattern: str, after: int = 0) -> re.Match[str]:
        """Wait for a line behind so many characters of the console."""
        return until(lambda: re.search(pattern, self._said()[after:], re.MULTILINE), f"{self.name} says {pattern}",
                     limit=START)
