# SPDX-License-Identifier: MIT
"""The network in which the real xend was measured, built again for the model: ``meta`` of xend-observed.json."""
from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.lab import topology
from tests.lab.namespaces import PATH, Host, Lab

OBSERVED = json.loads((Path(__file__).resolve().parents[1] / "xend-observed.json").read_text(encoding="utf-8"))
ETC_HOSTS = OBSERVED["meta"]["etc_hosts"]
RESOLVER = "nameserver 127.0.0.53"
#: What the name server answers. A name and its address beside the PTR records: the note of case addr-28 has them.
RECORDS = {"evil.example": ["203.0.113.66"]} | {
    address: [names] if isinstance(names, str) else names
    for address, names in OBSERVED["meta"]["topology"]["PTR records"].items() if names and address != "all others"}

TOPOLOGY = """
title = "where xend was measured"

[networks.outside]
title = "outside"
prefixes = ["203.0.113.0/24", "110.0.0.2/32"]
[networks.management]
title = "management network"
prefixes = ["10.0.0.0/8"]

[hosts.dom0]
role = "node"
routes = ["110.0.0.2 via 203.0.113.10"]
[hosts.dom0.interfaces.eth0]
network = "outside"
addresses = ["203.0.113.1/24"]
[hosts.dom0.interfaces.eth1]
network = "management"
addresses = ["10.0.0.1/8", "10.0.0.12/8"]

[hosts.outside]
role = "outsider"
routes = ["10.0.0.0/8 via 203.0.113.1"]
[hosts.outside.interfaces.eth0]
network = "outside"
addresses = ["203.0.113.10/24", %(outside)s, "110.0.0.2/32"]

[hosts.management]
role = "administrator"
routes = ["203.0.113.0/24 via 10.0.0.1"]
[hosts.management.interfaces.eth0]
network = "management"
addresses = ["10.0.0.2/8", "10.0.0.3/8", "10.0.0.20/8", "10.0.0.200/8", "10.1.112.5/8", "10.111.2.7/8"]
""" % {"outside": ", ".join(f'"203.0.113.{number}/24"' for number in range(50, 61))}

#: What a topology has no words for: more interfaces and addresses of dom0, and two keys that differ.
SETUP = """
ip address add 10.0.0.11/8 dev eth1 label eth1:0
for name in be0:192.168.77.1/24 pbe0: averylongname15:192.168.78.1/24; do
  ip link add ${name%%:*} type bridge
  if [ "${name#*:}" ]; then ip address add "${name#*:}" dev ${name%%:*}; fi
  ip link set ${name%%:*} up
done
for name in r other; do
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=dom0 \
    -keyout /etc/xen/$name.key -out /etc/xen/$name.crt 2>/dev/null
done
"""


class Measured(Lab):
    """That network; use it as a context manager. The model of xend runs on ``dom0``, for one case at a time."""

    def __init__(self) -> None:
        super().__init__(topology.parse(TOPOLOGY, "measured"))

    @staticmethod
    def why_not() -> str:
        """Why this machine has no keys to give to the model; else an empty string."""
        return "" if shutil.which("openssl", path=PATH) else "not installed: openssl; sudo ./install-packages.sh test"

    def __enter__(self) -> Measured:
        super().__enter__()
        self["dom0"].sh(SETUP)
        self.name_server(RECORDS)
        return self

    def name_server(self, records: dict[str, list[str] | None], address: str = "127.0.0.53") -> None:
        """Start a name server on dom0; it goes on until the lab's end."""
        path = f"/run/records-{address}.json"
        self["dom0"].ask(do="write", path=path, text=json.dumps(records))
        server = self["dom0"].popen("python3", str(Path(__file__).with_name("resolver.py")), address, path,
                                    stdout=subprocess.PIPE)
        self._processes.append(server)
        assert server.stdout.readline() == "ready\n"

    @contextmanager
    def names_from(self, services: str) -> Iterator[None]:
        """Have dom0 look for names there: ``services`` is what ``hosts:`` says in /etc/nsswitch.conf."""
        path = "/etc/nsswitch.conf"
        before = self["dom0"].run("cat", path).stdout
        self["dom0"].ask(do="write", path=path, text=f"hosts: {services}\n")
        try:
            yield
        finally:
            self["dom0"].ask(do="write", path=path, text=before)

    def start(self, config: str | None, etc_hosts: str = ETC_HOSTS, resolver: str = RESOLVER,
              before: str = "") -> dict:
        """Start the model; see ``Xend.start`` in ``tests/lab/agent.py``. ``config`` has one byte a character."""
        self["dom0"].ask(do="write", path="/etc/hosts", text=etc_hosts)
        self["dom0"].ask(do="write", path="/etc/resolv.conf", text=resolver + "\n")
        return self["dom0"].ask(do="start_xend", config=config, before=before)

    def peer(self, source: str) -> Host:
        """The host that has an address."""
        return self["dom0" if source.startswith("127.") else "management" if source.startswith("10.") else "outside"]

    def relocate(self, source: str, target: str, tls: bool = False) -> str:
        """What the peer at ``source`` gets from ``target``, an ADDRESS:PORT; see :meth:`Host.relocate`."""
        address, port = target.split(":")
        return self.peer(source).relocate(address, int(port), source, tls)

    def converse(self, parts: list[str], target: str = "203.0.113.1:8002", source: str = "203.0.113.10",
                 tls: bool = False) -> list[str | None]:
        """Talk to xend; see ``converse`` in ``tests/lab/agent.py``."""
        address, port = target.split(":")
        return self.peer(source).ask(do="converse", address=address, port=int(port), source=source, parts=parts,
                                     tls=tls)["said"]

    def sockets(self) -> list[str]:
        """The TCP sockets that listen on dom0."""
        return self["dom0"].tcp_listeners()
