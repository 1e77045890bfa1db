# SPDX-License-Identifier: MIT
"""What a scenario's ``topology.toml`` says: networks, hosts, interfaces, addresses.

The lab builds its hosts from it and the page's diagram is drawn from it, so
what a reader sees is what was tested. This module only reads and checks.
"""
from __future__ import annotations

import functools
import ipaddress
import tomllib
from collections.abc import Set
from dataclasses import dataclass, field
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
ROLES = ("node", "guest", "outsider", "administrator", "router", "border firewall")


class TopologyError(ValueError):
    """A topology that cannot be built; the message names the scenario and what is wrong with it."""


@dataclass(frozen=True)
class Network:
    """A wire: everything attached to it is one Ethernet segment."""

    name: str
    title: str
    prefixes: tuple[str, ...]


@dataclass(frozen=True)
class Interface:
    """A host's network interface.

    ``network`` names the wire it ends on. With ``uplink``, the interface is a
    bridge and ``uplink`` is its port on that wire. A guest's interface has no
    network but names the ``bridge`` of its node, and the ``vif`` that is the
    node's end of it.
    """

    name: str
    addresses: tuple[str, ...]
    network: str = ""
    uplink: str = ""
    bridge: str = ""
    vif: str = ""

    def address(self, version: int = 4) -> str:
        """The first address of that IP version, without its prefix length."""
        for text in self.addresses:
            interface = ipaddress.ip_interface(text)
            if interface.version == version:
                return str(interface.ip)
        raise LookupError(f"{self.name} has no IPv{version} address")


@dataclass(frozen=True)
class Host:
    """A host of the lab; ``routes`` are written as ``ip route add`` takes them."""

    name: str
    role: str
    interfaces: dict[str, Interface]
    routes: tuple[str, ...] = ()
    node: str = ""

    def address(self, version: int = 4, interface: str = "") -> str:
        """An address of the host: of ``interface``, else of its first interface."""
        return self.interfaces[interface or next(iter(self.interfaces))].address(version)


@dataclass(frozen=True)
class Path:
    """A connection that somebody tries; ``stopped_by`` is the host whose rules stop it, empty where they let it pass.

    The address is that of the target's ``interface``, or else of its first.
    """

    source: str
    target: str
    port: int
    interface: str = ""
    stopped_by: str = ""


@dataclass(frozen=True)
class Topology:
    """One scenario's networks and hosts, the parameters a reader changes, and the paths that the rules are about."""

    name: str
    title: str
    networks: dict[str, Network]
    hosts: dict[str, Host]
    parameters: dict[str, str | int] = field(default_factory=dict)
    paths: tuple[Path, ...] = ()


def load(scenario: str) -> Topology:
    """Read ``examples/<scenario>/topology.toml``.

    Raises TopologyError where there is none, or, naming the entry, where something in it does not
    fit: an unknown role, network, node or key, or an address outside its network.
    """
    try:
        text = (EXAMPLES / scenario / "topology.toml").read_text(encoding="utf-8")
    except FileNotFoundError:
        raise TopologyError(f"{scenario}: there is no such topology") from None
    return parse(text, scenario)


@functools.cache
def parse(text: str, name: str) -> Topology:
    """Read a topology from TOML text; see :func:`load`."""
    try:
        data = tomllib.loads(text)
        _check_keys(name, data, {"title", "networks", "hosts"}, {"parameters", "paths"})
        for key, value in data["networks"].items():
            _check_keys(f"{name}: {key}", value, {"title", "prefixes"})
        for key, value in data["hosts"].items():
            _check_keys(f"{name}: {key}", value, {"role", "interfaces"}, {"routes", "node"})
        networks = {
            key: Network(key, value["title"], tuple(value["prefixes"]))
            for key, value in data["networks"].items()
        }
        hosts = {
            key: Host(
                name=key,
                role=value["role"],
                routes=tuple(value.get("routes", ())),
                node=value.get("node", ""),
                interfaces={
                    ifname: Interface(ifname, **{**entry, "addresses": tuple(entry["addresses"])})
                    for ifname, entry in value["interfaces"].items()
                },
            )
            for key, value in data["hosts"].items()
        }
        paths = tuple(Path(**path) for path in data.get("paths", ()))
        topology = Topology(name, data["title"], networks, hosts, data.get("parameters", {}), paths)
    except (tomllib.TOMLDecodeError, KeyError, TypeError, AttributeError) as error:
        raise TopologyError(f"{name}: {error}") from error
    _check(topology)
    return topology


def _check_keys(where: str, table: dict, needed: set[str], others: Set[str] = frozenset()) -> None:
    if missing := needed - table.keys():
        raise TopologyError(f"{where}: {', '.join(sorted(missing))}: missing")
    if unknown := table.keys() - needed - others:
        raise TopologyError(f"{where}: {', '.join(sorted(unknown))}: no such key")


def _check(topology: Topology) -> None:
    for host in topology.hosts.values():
        if host.role not in ROLES:
            raise TopologyError(f"{topology.name}: {host.name}: unknown role {host.role!r}")
        if (host.role == "guest") != bool(host.node):
            raise TopologyError(f"{topology.name}: {host.name}: a guest, and only a guest, names its node")
        for interface in host.interfaces.values():
            where = f"{topology.name}: {host.name}: {interface.name}"
            network = topology.networks.get(_network_of(topology, host, interface, where))
            if network is None:
                raise TopologyError(f"{where}: unknown network {interface.network!r}")
            for address in interface.addresses:
                try:
                    inside = any(ipaddress.ip_interface(address).ip in ipaddress.ip_network(prefix)
                                 for prefix in network.prefixes)
                except ValueError as error:
                    raise TopologyError(f"{where}: {error}") from error
                if not inside:
                    raise TopologyError(f"{where}: {address} is not in the network {network.name}")
    for path in topology.paths:
        for name in filter(None, (path.source, path.target, path.stopped_by)):
            if name not in topology.hosts:
                raise TopologyError(f"{topology.name}: a path names {name!r}, which is no host")
        if path.interface and path.interface not in topology.hosts[path.target].interfaces:
            raise TopologyError(f"{topology.name}: a path names {path.interface!r}, which {path.target} has not")


def _network_of(topology: Topology, host: Host, interface: Interface, where: str) -> str:
    """The wire an interface ends on; a guest's is that of its node's bridge."""
    if not host.node:
        return interface.network
    try:
        return topology.hosts[host.node].interfaces[interface.bridge].network
    except KeyError as error:
        raise TopologyError(f"{where}: no node with the bridge {interface.bridge!r}") from error
