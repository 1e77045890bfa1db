# SPDX-License-Identifier: MIT
"""Captures for exposure.py, made by hand: a node with two networks and some listeners, and rules."""
from __future__ import annotations

import json
import random
import socket
from pathlib import Path

NODE = {
    "links": "1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536\n2: eth0: <BROADCAST,UP,LOWER_UP> mtu 1500\n"
             "3: eth1: <BROADCAST,UP,LOWER_UP> mtu 1500\n",
    "addresses": "1: lo    inet 127.0.0.1/8 scope host lo\n2: eth0    inet 203.0.113.11/24 scope global eth0\n"
                 "3: eth1    inet 192.168.1.1/24 scope global eth1\n2: eth0    inet6 2001:db8:2::11/64 scope global\n",
    "routes4": "default via 203.0.113.1 dev eth0\n203.0.113.0/24 dev eth0 proto kernel scope link\n"
               "192.168.1.0/24 dev eth1 proto kernel scope link\n",
    "routes6": "2001:db8:2::/64 dev eth0 proto kernel metric 256\ndefault via 2001:db8:2::1 dev eth0 metric 1024\n",
    "rules4": "0:\tfrom all lookup local\n32766:\tfrom all lookup main\n32767:\tfrom all lookup default\n",
    "settings": "ipv4 all rp_filter 0\nipv4 eth0 rp_filter 0\n",
    "host": "node-a\n",
}


def sockets(*places: str) -> str:
    """What ss says of sockets that listen on these places, such as 0.0.0.0:22."""
    return "".join(f'LISTEN 0 128 {place} 0.0.0.0:* users:(("some",pid=1,fd=3))\n' for place in places)


def capture(ports: tuple[int, ...] = (22, 5900, 8002), **files: str) -> dict[str, str]:
    """A capture of the node: ``nft`` is the JSON, ``legacy`` of iptables-legacy-save; others by their names."""
    found = NODE | {"sockets": sockets(*(f"0.0.0.0:{port}" for port in ports))}
    names = {"nft": "nft.json", "legacy": "iptables-legacy-save", "legacy6": "ip6tables-legacy-save"}
    return found | {names.get(name, name): text for name, text in files.items()}


def write(folder: Path, found: dict[str, str]) -> Path:
    """Put a capture into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in found.items():
        (folder / name).write_text(text)
    return folder


def legacy(*rules: str, policy: str = "ACCEPT", chains: tuple[str, ...] = ()) -> str:
    """A filter table as iptables-save prints it."""
    heads = [f":INPUT {policy} [0:0]", *(f":{name} - [0:0]" for name in chains)]
    return "\n".join(["*filter", *heads, *rules, "COMMIT", ""])


def base_chain(hook: str | None, *rules: list, **more: object) -> list[dict]:
    """A base chain and its rules as nft prints them in JSON; each rule is the list of its expressions."""
    chain = {"family": "inet", "table": "t", "name": "in", "type": "filter", "hook": hook, "prio": 0,
             "policy": "accept"} | more
    of = {"family": chain["family"], "table": chain["table"], "chain": chain["name"]}
    return [{"chain": chain}, *({"rule": of | {"expr": expressions}} for expressions in rules)]


def rule_set(*chains: list[dict], more: tuple[dict, ...] = (), **table: object) -> str:
    """What nft prints of chains and of what ``more`` there is; ``table`` is what it says of their tables."""
    entries = [entry for each in chains for entry in each]
    names = dict.fromkeys((entry["chain"]["family"], entry["chain"]["table"]) for entry in entries if "chain" in entry)
    tables = [{"table": {"family": family, "name": name} | table} for family, name in names]
    return json.dumps({"nftables": [{"metainfo": {}}, *tables, *more, *entries]})


def nft(*rules: list, chain: dict | None = None, more: tuple[dict, ...] = ()) -> str:
    """A table with one base chain, at input where ``chain`` has nothing else."""
    options = {"hook": "input"} | (chain or {})
    return rule_set(base_chain(options.pop("hook"), *rules, **options), more=more)


def match(left: dict, right: object, op: str = "==") -> dict:
    """A match statement."""
    return {"match": {"op": op, "left": left, "right": right}}


def prefix(address: str, length: int) -> dict:
    """A network."""
    return {"prefix": {"addr": address, "len": length}}


def vmap(key: dict, *pairs: list) -> dict:
    """A verdict map: pairs of an element and a statement."""
    return {"vmap": {"key": key, "data": {"set": list(pairs)}}}


SADDR = {"payload": {"protocol": "ip", "field": "saddr"}}
DPORT = {"payload": {"protocol": "tcp", "field": "dport"}}


def many(count: int) -> list[str]:
    """So many addresses, always the same ones."""
    numbers = random.Random(1).sample(range(1 << 24, 1 << 31), count)
    return [socket.inet_ntoa(number.to_bytes(4, "big")) for number in numbers]


def linear(count: int, target: str = "ACCEPT") -> dict[str, str]:
    """A capture with so many rules of iptables, an address each."""
    rules = [f"-A INPUT -s {address}/32 -p tcp -m tcp --dport 8002 -j {target}" for address in many(count)]
    return capture(legacy=legacy(*rules, policy="DROP"))


def large_set(count: int) -> dict[str, str]:
    """A capture with an nftables set of so many elements."""
    elements = {"set": {"family": "inet", "table": "t", "name": "many", "type": "ipv4_addr", "elem": many(count)}}
    return capture(nft=nft([match(SADDR, "@many"), match(DPORT, 8002), {"accept": None}],
                           chain={"policy": "drop"}, more=(elements,)))
