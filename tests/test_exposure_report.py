# SPDX-License-Identifier: MIT
"""What exposure.py reads of a host, and what it tells: which rule lets somebody in, sizes, roles of ports."""
from __future__ import annotations

import contextlib
import errno
import os
import re
import struct
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

import exposure
from tests import captures
from tests.captures import DPORT, SADDR, capture, legacy, match, nft, prefix, vmap, write
from tests.test_exposure import judged, run

ACCEPT, DROP = {"accept": None}, {"drop": None}


def lines(found: dict[str, str], *allow: str) -> list[str]:
    """The report for people."""
    return exposure.table(exposure.Report(found, exposure.Allowed(list(allow))), False)


def exposed(found: dict[str, str], *allow: str) -> list[tuple[str, str, int]]:
    """Rule, sentence and size of each exposure, smallest first."""
    said = exposure.Report(found, exposure.Allowed(list(allow))).json()["exposures"]
    return sorted([(each["rule"] or "", each["text"], each["excess_addresses"]) for each in said],
                  key=lambda each: each[2])


# -- which rule lets somebody in

THREE = ["10.0.0.1", "10.0.0.3", "10.0.0.5"]
TEN, TWELVE, SIXTEEN = prefix("10.0.0.0", 8), prefix("172.16.0.0", 12), prefix("192.168.0.0", 16)


@pytest.mark.parametrize(("rules", "says"), [
    pytest.param(nft([vmap(SADDR, (TEN, ACCEPT), (TWELVE, DROP), (SIXTEEN, ACCEPT))], chain={"policy": "drop"}),
                 "10.0.0.0/8 and 192.168.0.0/16 admit 16,842,752 addresses", id="verdict map"),
    pytest.param(nft([vmap(SADDR, (TEN, DROP), ("*", ACCEPT))], chain={"policy": "drop"}),
                 "0.0.0.0/5 and 8.0.0.0/7 and more admit 4,278,190,080 addresses", id="verdict map with a default"),
    pytest.param(nft([vmap({"concat": [SADDR, DPORT]}, ({"concat": [TEN, 8002]}, ACCEPT),
                           ({"concat": [TWELVE, 22]}, ACCEPT))], chain={"policy": "drop"}),
                 "10.0.0.0/8 admits 16,777,216 addresses", id="verdict map by source and port"),
    pytest.param(nft([{"mangle": {"key": {"meta": {"key": "mark"}}, "value": {"map": {
        "key": SADDR, "data": {"set": [[TEN, 1], [SIXTEEN, 2]]}}}}}, ACCEPT], chain={"policy": "drop"}),
        "10.0.0.0/8 and 192.168.0.0/16 admit 16,842,752 addresses", id="map of marks, which ends the others' way"),
    pytest.param(nft([match({"concat": [SADDR, DPORT]}, {"set": [{"concat": ["10.0.0.1", 8002]},
                                                                 {"concat": ["10.0.0.2", 22]}]}), ACCEPT],
                     chain={"policy": "drop"}), "10.0.0.1/32 admits 1 address", id="set of sources and ports"),
    pytest.param(nft([match(SADDR, TEN, "!="), ACCEPT], chain={"policy": "drop"}),
                 "0.0.0.0/5 and 8.0.0.0/7 and more admit 4,278,190,080 addresses", id="all but a network"),
    pytest.param(nft([match(SADDR, TEN), match(SADDR, prefix("10.1.0.0", 16)), ACCEPT], chain={"policy": "drop"}),
                 "10.1.0.0/16 admits 65,536 addresses", id="two conditions"),
    pytest.param(nft([match(SADDR, {"set": ["10.0.0.1", "10.0.0.3"]}), ACCEPT], chain={"policy": "drop"}),
                 "10.0.0.1/32 and 10.0.0.3/32 admit 2 addresses", id="two networks"),
    pytest.param(nft([match(SADDR, {"set": THREE}), ACCEPT], chain={"policy": "drop"}),
                 "10.0.0.1/32 and 10.0.0.3/32 and more admit 3 addresses", id="three networks"),
    pytest.param(nft([match(DPORT, 8002), ACCEPT], chain={"policy": "drop"}),
                 "a rule admits every source that gets to it", id="no source"),
    pytest.param(nft(), "no rule refuses", id="no rule"),
])
def test_what_a_rule_admits(rules: str, says: str):
    (_, text, _), = exposed(capture((8002,), nft=rules))
    assert text == f"{says}; nobody was meant to"


def two(early: str, late: str) -> dict[str, str]:
    """A rule in each of two tables, through both of which a packet has to get."""
    mangle = legacy(f"-A INPUT {early} -j ACCEPT", policy="DROP").replace("*filter", "*mangle")
    return capture((8002,), legacy=mangle + legacy(f"-A INPUT {late} -j ACCEPT", policy="DROP"))


@pytest.mark.parametrize(("narrow", "wide"), [
    ("-s 10.0.0.0/16", "-s 10.0.0.0/8"),
    ("-s 10.0.0.0/8", "-p tcp -m tcp --dport 8002"),
    ("-p tcp -m tcp --dport 8002", "-p tcp"),
])
def test_of_two_rules_the_narrower_one_is_named(narrow: str, wide: str):
    for found in (two(narrow, wide), two(wide, narrow)):
        (rule, _, _), = exposed(found)
        assert f": {narrow} -j ACCEPT" in rule


DOUBTFUL = "-A INPUT -p tcp -m set --match-set admins src -j ACCEPT"


def test_a_rule_in_doubt_is_not_named_for_those_whom_another_lets_in():
    (rule, text, _), = exposed(capture((8002,), legacy=legacy(DOUBTFUL, "-A INPUT -s 10.0.0.0/8 -j ACCEPT",
                                                              policy="DROP")))
    assert "-s 10.0.0.0/8" in rule and text.startswith("10.0.0.0/8 admits 16,777,216 addresses;")
    (rule, text, _), = exposed(capture((8002,), legacy=legacy(DOUBTFUL)))
    assert (rule, text) == ("", "no rule refuses; nobody was meant to")


def test_whom_a_rule_lets_in_and_whom_none_refuses_are_two_exposures():
    some, rest = exposed(capture((8002,), legacy=legacy("-A INPUT -s 10.0.0.0/8 -j ACCEPT")))
    assert ("-s 10.0.0.0/8" in some[0], some[2], rest[0], rest[2]) == (True, 1 << 24, "", (1 << 32) - (1 << 24))


def test_large_sets_in_two_tables_are_compared_once():
    """Else this takes minutes: the size of the set, once for each of its addresses."""
    found = captures.large_set(50_000)
    found["nft.json"] = found["nft.json"].replace('"policy": "drop"', '"policy": "accept"')
    found["iptables-legacy-save"] = legacy("-A INPUT -p tcp -m tcp --dport 8002 -j ACCEPT", policy="DROP")
    before = time.process_time()
    some, rest = exposed(found)
    assert ("and more admit 50,000 addresses;" in some[1], rest[2]) == (True, (1 << 32) - 50_000)
    assert time.process_time() - before < 10


# -- what is meant

@pytest.mark.parametrize(("allow", "says"), [
    ([], "nobody was meant to"),
    (["22=10.0.0.0/8", "2001:db8::/32"], "nobody was meant to"),
    (["10.1.0.0/16"], "10.1.0.0/16 was meant to"),
    (["10.1.0.0/16", "8002=10.2.0.0/16"], "10.1.0.0/16 and 10.2.0.0/16 were meant to"),
    (["10.1.0.0/16", "10.2.0.0/16", "10.3.0.0/16"], "10.1.0.0/16 and 10.2.0.0/16 and 10.3.0.0/16 were meant to"),
    ([f"10.{n}.0.0/16" for n in range(4)], "10.0.0.0/16 and 10.1.0.0/16 and 2 more were meant to"),
])
def test_who_was_meant(allow: list[str], says: str):
    (_, text, _), = exposed(capture((8002,)), *allow)
    assert text == f"no rule refuses; {says}"


@pytest.mark.parametrize("port", [1, 65535])
def test_every_port_may_be_allowed(port: int):
    assert exposure.Report(capture((port,)), exposure.Allowed([f"{port}=0.0.0.0/0"])).status == 0


# -- ports and their roles

@pytest.mark.parametrize(("name", "ports", "others"), [
    ("xend relocation", [8002, 8003], [8001, 8004]), ("xend HTTP", [8000], [7999]),
    ("xend XML-RPC", [8006], [8005, 8007]),
    ("libvirt without TLS", [16509], [16508, 16510]), ("libvirt over TLS", [16514], [16513, 16515]),
    ("libvirt migration", [49152, 49216], [49151, 49217]), ("NBD", [10809], [10808, 10810]),
    ("VNC", [5900, 5999], [5899, 6000]), ("XAPI without TLS", [80], [79, 81]), ("XAPI", [443], [442, 444]),
    ("ssh", [22], [21, 23]),
])
def test_the_role_of_a_port(name: str, ports: list[int], others: list[int]):
    assert {exposure.role_of(port, {}).name for port in ports} == {name}
    assert {exposure.role_of(port, {}).name for port in others} == {""}


def test_a_setting_says_more_than_a_number():
    assert exposure.role_of(8002, {"sshd": "port 8002\n"}).name == "ssh"


@pytest.mark.parametrize("quote", ["'", '"'])
def test_libvirt_reads_both_quotes(quote: str):
    """virConfParseString in libvirt's virconf.c."""
    config = "tcp_port = '16000'\ntls_port='16001'\nauth_tcp = 'none'\n".replace("'", quote)
    role = exposure.role_of(16000, {"libvirtd.conf": config})
    assert role.name == "libvirt without TLS" and role.remarks == ["libvirt asks for no password (auth_tcp none)"]
    assert exposure.role_of(16001, {"libvirtd.conf": config}).name == "libvirt over TLS"


def test_the_port_of_xend_xml_rpc_may_be_moved():
    """See get_xend_tcp_xmlrpc_server_port in xend's XendOptions.py."""
    assert exposure.role_of(9006, {"xend-config.sxp": "(xend-tcp-xmlrpc-server-port 9006)\n"}).name == "xend XML-RPC"


@pytest.mark.parametrize(("config", "everybody"), [
    ("(xend-relocation-server yes)", True), ("# (xend-relocation-hosts-allow '^a$')", True),
    ("(xend-relocation-hosts-allow)", True), ("(xend-relocation-hosts-allow '')", True),
    ('(xend-relocation-hosts-allow "")', True), ("(xend-relocation-hosts-allow '^a$  ^b$')", True),
    ("(xend-relocation-hosts-allow '^a$ ')", True), ("(xend-relocation-hosts-allow ' ^a$')", True),
    ("(xend-relocation-hosts-allow '^a$\n    ^b$')", True), ("(xend-relocation-hosts-allow '^a$')", False),
    ("(xend-relocation-server yes)\n(xend-relocation-hosts-allow\n '^(a|b)$ ^c$')", False),
    ("(xend-relocation-hosts-allow ^a$)", False), ("", False),
])
def test_whether_xend_takes_guests_from_everybody(config: str, everybody: bool):
    """As the page on xend's options has it; without the file nobody knows whether it is xend that listens."""
    remarks = exposure.role_of(8002, {"xend-config.sxp": config}).remarks
    assert ["whoever connects" in remark for remark in remarks] == [True] * everybody


# -- bridges

def bridged(ports: str, *rules: list) -> list[str]:
    """The rows of a port of a host whose bridge br0 has these ports, with rules of family bridge."""
    links = ["1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536", "2: br0: <BROADCAST,UP,LOWER_UP> mtu 1500"]
    links += [f"{number}: {name}: <BROADCAST,UP,LOWER_UP> mtu 1500 master br0 state UP\\    bridge_slave"
              for number, name in enumerate(ports.split(), 3)]
    found = capture((8002,), nft=nft(*rules, chain={"family": "bridge"}), links="\n".join(links) + "\n")
    for name in ("addresses", "routes4", "routes6"):
        found[name] = "".join(line + "\n" for line in found[name].splitlines() if "eth1" not in line).replace(
            "eth0", "br0")
    return [row.interface for row in exposure.Report(found, exposure.Allowed([])).rows]


@pytest.mark.parametrize(("ports", "rows"), [
    ("eth0", ["br0"]), ("eth0 vif1.0", ["br0 by eth0", "br0 by vif1.0"]),
    ("vif1.0 vif2.0", ["br0"]), ("vif1.0 vif2.0 vif3.0", ["br0"]),
])
def test_ports_of_a_bridge_are_told_apart_where_rules_do(ports: str, rows: list[str]):
    assert bridged(ports, [match({"meta": {"key": "iifname"}}, "eth0"), DROP]) == rows


# -- the report for people

MAYBE = {"xt": {"type": "match", "name": "recent"}}


@pytest.mark.parametrize(("rules", "rows"), [
    pytest.param([], ["nobody"], id="nobody"),
    pytest.param([[ACCEPT]], ["everybody 4,294,967,296"], id="everybody"),
    pytest.param([[MAYBE, ACCEPT]], ["perhaps everybody 4,294,967,296"], id="perhaps"),
    pytest.param([[match(SADDR, SIXTEEN), ACCEPT], [match(SADDR, TEN), MAYBE, ACCEPT]],
                 ["192.168.0.0/16 65,536", "perhaps 10.0.0.0/8 16,777,216"], id="some, and others perhaps"),
    pytest.param([[match(SADDR, {"set": THREE}), ACCEPT]], ["10.0.0.1/32 10.0.0.3/32 10.0.0.5/32 3"], id="three"),
    pytest.param([[match(SADDR, {"set": [*THREE, "10.0.0.7"]}), ACCEPT]],
                 ["10.0.0.1/32 10.0.0.3/32 10.0.0.5/32 ... 4"], id="more than three"),
])
def test_who_gets_in_in_a_few_words(rules: list, rows: list[str]):
    said = lines(capture((8002,), nft=nft(*rules, chain={"policy": "drop"})))
    assert [" ".join(line.split()[2:]) for line in said if line.startswith("  eth0 ")] == rows
    assert any("because of" in line for line in said) == any("perhaps" in row for row in rows)


def test_each_port_has_its_own_lines_the_most_urgent_first():
    rules = legacy("-A INPUT -p tcp -m tcp --dport 22 -s 10.0.0.0/8 -j ACCEPT",
                   "-A INPUT -p tcp -m tcp --dport 80 -m recent --name x --rcheck -j ACCEPT",
                   "-A INPUT -p tcp -m tcp --dport 5900 -s 192.168.0.0/16 -j ACCEPT",
                   "-A INPUT -p tcp -m tcp --dport 8002 -s 172.16.0.0/12 -j ACCEPT", policy="DROP")
    said = "\n".join(lines(capture((22, 80, 5900, 8002), legacy=rules), "22=10.0.0.0/8"))
    *ports, absent, ending = said.split("\n\n")
    part_of = r"(?m)^\d+|(?:EXPOSED|PERHAPS|as meant)$|(?<=eth0             IPv4  ).*?(?=  )|(?<=> )\S+(?= admits)"
    assert [re.findall(part_of, part) for part in ports] == [
        ["8002", "EXPOSED", "172.16.0.0/12", "172.16.0.0/12"], ["5900", "EXPOSED", "192.168.0.0/16", "192.168.0.0/16"],
        ["80", "PERHAPS", "perhaps everybody"], ["22", "as meant", "10.0.0.0/8"]]
    assert absent == "Nothing listens on: 443 8000 8006 10809 16509 16514 49152"
    assert ending == "2 exposures."


def test_one_exposure_is_one():
    assert lines(capture((8002,)))[-1] == "1 exposure."


@pytest.mark.parametrize(("text", "expected"), [
    ("a" * 38 + " " + "b" * 39, ["  " + "a" * 38 + " " + "b" * 39]),
    ("a" * 38 + " " + "b" * 40, ["  " + "a" * 38, "  " + "b" * 40]),
    ("a" * 78, ["  " + "a" * 78]),
    ("a " + "b" * 79 + " c", ["  a", "  " + "b" * 78, "  b c"]),
], ids=["fits", "two lines", "a word that fits", "a word that does not"])
def test_text_is_broken_only_where_it_does_not_fit(text: str, expected: list[str]):
    assert exposure.wrapped(text, 2) == expected


def test_very_many_networks_are_listed_as_ranges():
    """As the schema says: where there are more than 10,000."""
    flat = [bound for number in range(10_001) for bound in (2 * number, 2 * number + 1)]
    assert exposure.listed(flat[2:], 4)[:2] == ["0.0.0.2/32", "0.0.0.4/32"]
    assert exposure.listed(flat, 4)[:2] == ["0.0.0.0-0.0.0.0", "0.0.0.2-0.0.0.2"]


# -- what is read of a host

@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A host without programs and settings of its own; installs programs, given by their names and scripts."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, value in (("PATH", str(folder)), ("SETTINGS", str(tmp_path / "net")), ("FILES", {}),
                        ("kernel_tables", lambda: ["inet mine"])):
        monkeypatch.setattr(exposure, name, value)
    monkeypatch.setattr(os, "geteuid", lambda: 0)

    def put(mode: int = 0o755, **scripts: str) -> None:
        for name, script in scripts.items():
            (folder / name.replace("_", "-")).write_text(f"#!/bin/sh\n{script}\n")
            (folder / name.replace("_", "-")).chmod(mode)

    return put


VERSION = 'echo "%s"'


@pytest.mark.parametrize(("programs", "read"), [
    pytest.param({}, {}, id="none"),
    pytest.param({"iptables": VERSION % "iptables v1.8.9 (nf_tables)", "iptables_save": "echo new"},
                 {"iptables-nft-save": "new\n"}, id="one, of nf_tables"),
    pytest.param({"iptables": VERSION % "iptables v1.8.7 (legacy)", "iptables_save": "echo old"},
                 {"iptables-legacy-save": "old\n"}, id="one, legacy"),
    pytest.param({"iptables": VERSION % "iptables v1.4.21", "iptables_save": "echo old"},
                 {"iptables-legacy-save": "old\n"}, id="one that is older than nf_tables"),
    pytest.param({"iptables": VERSION % "iptables v1.8.9 (nf_tables)", "iptables_save": "echo new",
                  "iptables_legacy_save": "echo old"},
                 {"iptables-legacy-save": "old\n", "iptables-nft-save": "new\n"}, id="both, one by its own name"),
    pytest.param({"ip6tables": VERSION % "ip6tables v1.8.9 (nf_tables)", "ip6tables_save": "echo six"},
                 {"ip6tables-nft-save": "six\n"}, id="IPv6"),
])
def test_which_back_end_iptables_save_is_of(install: Callable[..., None], programs: dict, read: dict):
    install(**programs)
    assert {name: text for name, text in exposure.gather().items() if "tables-" in name} == read


def test_without_nft_the_tables_are_asked_for(install: Callable[..., None]):
    assert exposure.gather()["unread-tables"] == "inet mine\n"
    install(nft='echo "$*"')
    found = exposure.gather()
    assert found["nft.json"] == "-j list ruleset\n" and "unread-tables" not in found


@pytest.mark.parametrize(("script", "mode", "says"), [
    ("echo first >&2; echo why >&2; exit 1", 0o755, "why"), ("exit 3", 0o755, "exit status 3"),
    ("exit 0", 0o644, "Permission denied"),
])
def test_a_program_that_fails_is_told(install: Callable[..., None], script: str, mode: int, says: str):
    install(mode, nft=script)
    assert run() == (2, "", f"exposure.py: nft -j list ruleset: {says}\n")


def test_without_its_settings_sshd_is_ssh_all_the_same(install: Callable[..., None]):
    install(sshd="echo no keys >&2; exit 1")
    assert "sshd" not in exposure.gather()


def test_only_root_can_read_the_rules(install: Callable[..., None], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    status, out, error = run()
    assert (status, out) == (2, "") and "only root" in error


def test_a_capture_is_for_root_only(tmp_path: Path):
    """So it is never written to a folder that is there, which may be somebody else's."""
    found = capture((8002,))
    source, folder = write(tmp_path / "source", found), tmp_path / "capture"
    assert run("--from", source, "--capture", folder) == (0, "", "")
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.name: path.read_text() for path in folder.iterdir()} == found
    (tmp_path / "empty").mkdir(mode=0o777)
    for there in (folder, tmp_path / "empty"):
        assert run("--from", source, "--capture", there) == (2, "", f"exposure.py: {there}: File exists\n")


def test_a_pipe_in_a_capture_is_not_waited_for(tmp_path: Path):
    folder = write(tmp_path / "capture", capture())
    os.mkfifo(folder / "nft.json")
    assert run("--from", folder) == (2, "", f"exposure.py: {folder}/nft.json: not a plain file\n")


@pytest.mark.parametrize("error", [MemoryError, RecursionError])
def test_what_is_too_large_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type):
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(exposure, "Judge", fail)
    assert judged(tmp_path, capture()) == (2, "", "exposure.py: this is too large to be judged\n")


# -- the tables that the kernel has, where there is no nft

def answer(number: int) -> bytes:
    """An NLMSG_ERROR, as netlink(7) describes it."""
    return struct.pack("=IHHII", 36, 2, 0, 1, 0) + struct.pack("=i", -number) + bytes(16)


@pytest.mark.parametrize(("refused", "received", "says"), [
    pytest.param(None, answer(errno.EINVAL), None, id="no nftables in the kernel"),
    pytest.param(errno.EPROTONOSUPPORT, b"", None, id="no netfilter in the kernel"),
    pytest.param(None, answer(errno.EPERM), "Operation not permitted", id="not permitted"),
    pytest.param(None, answer(errno.ENOMEM), "Cannot allocate memory", id="no memory"),
    pytest.param(errno.EMFILE, b"", "Too many open files", id="no socket"),
    pytest.param(None, TimeoutError("timed out"), "timed out", id="no answer"),
])
def test_that_there_are_no_tables_is_never_guessed(monkeypatch: pytest.MonkeyPatch, refused: int | None,
                                                    received: bytes | OSError, says: str | None):
    def recv(_: int) -> bytes:
        if isinstance(received, OSError):
            raise received
        return received

    def make(*_: int) -> contextlib.nullcontext:
        if refused:
            raise OSError(refused, os.strerror(refused))
        return contextlib.nullcontext(SimpleNamespace(settimeout=lambda _: None, send=len, recv=recv))

    monkeypatch.setattr(exposure, "socket", SimpleNamespace(AF_NETLINK=16, SOCK_RAW=3, socket=make))
    if says is None:
        assert exposure.kernel_tables() == []
    else:
        with pytest.raises(exposure.BadInput, match=f"^the tables of nftables cannot be listed: {says}$"):
            exposure.kernel_tables()
