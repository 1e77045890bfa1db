# SPDX-License-Identifier: MIT
"""opens.py never calls a configuration closed where xend, here its model, lets somebody in."""
from __future__ import annotations

import ipaddress
import json
import re
import sys
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.lab import topology
from tests.lab.measured import ETC_HOSTS, Measured
from tests.lab.xend import listener, sxp
from tests.lab.xend.options import Options
from tests.lab.xend.python2 import Raised
from tests.test_xend import STARTS
from tests.test_xend_observed import CASES, text

SCENARIO = "isolated-management-network"
sys.path.insert(0, str(topology.EXAMPLES / SCENARIO))
import opens  # noqa: E402

MANAGEMENT = ipaddress.IPv4Network("10.0.0.0/8")

#: Runs on dom0: what opens.py says of each of many configurations.
ASK = r"""
import contextlib, io, json, sys
sys.path.insert(0, sys.argv[1])
import opens
answers = []
for config, etc_hosts in json.load(sys.stdin):
    with open("/etc/hosts", "w") as file:
        file.write(etc_hosts)
    with open("/run/config.sxp", "wb") as file:
        file.write(config.encode("latin-1"))
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = opens.main(["/run/config.sxp", "10.0.0.0/8"])
    answers.append([status, out.getvalue().splitlines(), err.getvalue().splitlines()])
print(json.dumps(answers))
"""


def ask(measured: Measured, configs: list[tuple[str, str]]) -> list[tuple[int, list[str], list[str]]]:
    """Exit status and the lines on standard output and error for each (configuration, /etc/hosts)."""
    said = measured["dom0"].run("python3", "-c", ASK, f"/run/examples/{SCENARIO}", input=json.dumps(configs))
    return json.loads(said.stdout)


def said_to_listen(lines: list[str]) -> list[str]:
    return [found[1] for line in lines if (found := re.match(r"listens on (\S+) ", line))]


@pytest.mark.parametrize("nsswitch", ["files dns", "files"])
def test_of_the_observed_cases_none_is_called_closed_that_was_open(measured: Measured, nsswitch: str):
    """What the real xend was seen to do decides; those cases were measured with DNS, which opens more."""
    cases = [case for case in CASES if case["config"] is not None]
    with measured.names_from(nsswitch):
        said = ask(measured, [(text(case["config"]), case.get("etc_hosts", ETC_HOSTS)) for case in cases])
    statuses = set()
    for case, (status, lines, errors) in zip(cases, said, strict=True):
        where = f"{case['id']}: {status} {lines} {errors}"
        statuses.add((status, bool(case["listening"])))
        assert len(errors) == (status == 2) and bool(lines) == (status != 2), where
        assert set(said_to_listen(lines)) >= set(case["listening"]), where
        if case["exit_status"] == 0 and status != 2:
            assert said_to_listen(lines) == case["listening"], where
        if status == 2:
            assert case["exit_status"] == 1 and not case["still_running"], where
        if status == 0:
            strangers = [way for way, verdict in case["verdicts"].items()
                         if verdict == "accepted" and not way.startswith(("10.", "127."))]
            assert not strangers, where
    assert statuses >= {(0, False), (0, True), (1, True), (2, False)}


#: Patterns that stop xend. It compiles none: they count as what cannot be told, and with the server off as nothing.
NOT_COMPILED = {"a bad pattern with the server off", "a possessive repeat", "flags for a group"}


def test_it_sees_what_the_model_opens(measured: Measured):
    said = ask(measured, [(config, ETC_HOSTS) for config, _ in STARTS.values()])
    for (what, (_, sockets)), (status, lines, _) in zip(STARTS.items(), said, strict=True):
        if sockets is None:
            assert (status != 2) == (what in NOT_COMPILED), what
        else:
            assert set(said_to_listen(lines)) >= set(sockets) and status != 2, what


GUARDED = r"""(xend-relocation-server yes) (xend-relocation-address 10.0.0.1)
(xend-relocation-hosts-allow '^10\\.[0-9]+\\.[0-9]+\\.[0-9]+$ ^peer3\\.mgmt\\.example$')"""


@pytest.mark.parametrize("nsswitch, etc_hosts, status, words", [
    ("files dns", ETC_HOSTS, 1, "every address whose PTR record says one of these"),
    ("files", ETC_HOSTS, 0, "names come from /etc/hosts alone"),
    ("files", ETC_HOSTS + "203.0.113.10 peer3.mgmt.example\n", 1, "203.0.113.10 (peer3.mgmt.example)"),
    ("files [NOTFOUND=return] dns", ETC_HOSTS, 1, "files [NOTFOUND=return] dns"),
])
def test_status_0_is_kept(measured: Measured, nsswitch: str, etc_hosts: str, status: int, words: str):
    """Its verdict, and beside it what every peer of another network gets from the model."""
    with measured.names_from(nsswitch):
        (said, (line,), _), = ask(measured, [(GUARDED, etc_hosts)])
        measured.start(GUARDED, etc_hosts)
        admitted = {f"203.0.113.{number}" for number in (10, *range(50, 61))
                    if measured.relocate(f"203.0.113.{number}", "10.0.0.1:8002") == "ready"}
        assert measured.relocate("10.0.0.2", "10.0.0.1:8002") == "ready"
    assert said == status and words in line
    if status == 0:
        assert not admitted
    else:
        assert admitted or "NOTFOUND" in nsswitch  # which it does not weigh


@pytest.mark.parametrize("hosts_allow, address, network, closed", [
    (r"^10\.0\.[0-9]+\.1$", "10.0.0.1", "10.0.0.0/8", True),
    (r"^10\.0\.[0-9]+\.1$", "10.0.0.1", "10.0.0.0/16", True),
    (r"^10\.[0-9]+\.0\.1$", "10.0.0.1", "10.0.0.0/16", False),  # its last address is outside
    (r"^[0-9]+\.255\.255\.255$", "10.0.0.1", "128.0.0.0/1", False),  # its first one is
    (r"^11\.0\.0\.1$ ^10\.0\.0\.1$", "10.0.0.1", "10.0.0.0/8", False),
    (r"^10\.0\.0\.1$ ^11\.0\.0\.1$", "10.0.0.1", "10.0.0.0/8", False),
    (r"^10\.0\.0\.1$ ^127\.0\.0\.1$ ^node$", "10.0.0.1", "10.0.0.0/8", True),
    (r"^[0-9]+\.0\.0\.1$", "10.0.0.1", "0.0.0.0/2", False),
    (r"^10\.0\.0\.1$", "", "0.0.0.0/1", False),  # every address of the host, though 0.0.0.0 is in that network
    (r"^10\.0\.0\.1$", "11.0.0.1", "10.0.0.0/8", False),
    ("", "127.0.0.1", "10.0.0.0/8", True),
])
def test_where_the_network_ends(monkeypatch, hosts_allow: str, address: str, network: str, closed: bool):
    monkeypatch.setattr(opens, "name_service", lambda: ["files"])
    monkeypatch.setattr(opens, "names_here", lambda: [])
    forms = [["xend-relocation-server", "yes"], ["xend-relocation-address", address],
             ["xend-relocation-hosts-allow", hosts_allow]]
    assert opens.report(forms, ipaddress.IPv4Network(network))[1] is closed


def test_the_example_of_the_guide_is_told_as_it_is(make_lab):
    node = make_lab(SCENARIO)["node-a"]
    command = ["python3", f"{SCENARIO}/opens.py", f"{SCENARIO}/xend-config.sxp", "192.168.1.0/24"]
    assert node.run(*command, check=False).returncode == 1
    node.sh("echo 'hosts: files' >/etc/nsswitch.conf")
    done = node.run(*command)
    assert done.stdout.startswith("listens on 192.168.1.1:8002 (relocation); admits 192.168.1.0 to 192.168.1.255; ")
    assert node.run(*command[:-1], "192.168.2.0/24", check=False).returncode == 1


@pytest.mark.parametrize("arguments, words", [
    (["xend-config.sxp"], "usage: opens.py"),
    (["xend-config.sxp", "192.168.1.1/24"], "'192.168.1.1/24' is not an IPv4 network"),
    (["xend-config.sxp", "2001:db8::/32"], "'2001:db8::/32' is not an IPv4 network"),
    (["xend-config.sxp", "0.0.0.0/0"], "'0.0.0.0/0' is not an IPv4 network"),
    (["no-such-file", "192.168.1.0/24"], "no-such-file: No such file or directory"),
])
def test_bad_arguments_get_one_line(capsys, arguments: list[str], words: str):
    assert opens.main(arguments) == 2
    said = capsys.readouterr()
    assert said.out == "" and words in said.err and len(said.err.splitlines()) == 1


# Configurations that nobody thought of, against the model's own reading, without a network.

OCTETS = ["10", "0", "1", "2", "127", "[0-9]+", "192", "300", "01"]
ADDRESS_PATTERN = st.tuples(
    st.sampled_from(["10", "10", *OCTETS]), *[st.sampled_from(OCTETS)] * 3, st.sampled_from([r"\\.", r"\\.", "."]),
).map(lambda parts: "^" + parts[4].join(parts[:4]) + "$")
PATTERN = st.one_of(
    ADDRESS_PATTERN,
    st.sampled_from(["", "^localhost$", "^node$", r"^node\\.example$", "10.0.0.1", ".*", "|", r"^\\d+", "^10$", "^10"]),
    st.text("^$\\.10ab|*+[]()", max_size=6))
VALUE = {
    "xend-relocation-server": st.sampled_from(["yes", "no", "'on'", "maybe", "", "(yes)", "'y\\145s'"]),
    "xend-relocation-address": st.sampled_from(
        ["10.0.0.1", "''", "0.0.0.0", "127.0.0.1", "203.0.113.1", "' 10.0.0.1'", "10.1", "0x0a000001", "(a)", "be0",
         "lo", "'10.0.0.1 '", "010.0.0.1", "4294967295", "00.0.0.0"]),
    "xend-relocation-port": st.sampled_from(["8002", "9002", "0", "abc", "'+ 1'", "65536", ""]),
    "xend-relocation-hosts-allow": st.lists(PATTERN, max_size=3).map(lambda patterns: f"'{' '.join(patterns)}'"),
    "xend-relocation-ssl-server": st.sampled_from(["yes", "no", "no", "maybe"]),
    "xend-relocation-ssl-port": st.sampled_from(["8003", "abc"]),
    "xend-relocation-server-ssl-key-file": st.sampled_from(["r.key", "", "(r)"]),
    "xend-relocation-server-ssl-cert-file": st.sampled_from(["r.crt"]),
    "xend-unix-server": st.sampled_from(["no", "no", "maybe"]),
}
FORM = st.sampled_from(list(VALUE)).flatmap(
    lambda name: VALUE[name].map(lambda value: f"({name} {value})"))
ON = "(xend-relocation-server yes)"
BOUND = ON + "(xend-relocation-address 10.0.0.1)"
CONFIG = st.tuples(
    st.one_of(st.sampled_from(["", ON, BOUND]),
              ADDRESS_PATTERN.map(lambda pattern: f"{BOUND}(xend-relocation-hosts-allow '{pattern}')")),
    st.lists(st.one_of(FORM, FORM, FORM, st.text("()'\"#;\\ \n\x04x", max_size=3)), max_size=5),
    st.sampled_from(["", "\n"])).map(lambda parts: parts[0] + "".join(parts[1]) + parts[2])
NAMES = st.sampled_from(
    ["localhost", "node", "node.example", "10.0.0.2", "10.0.0.1", "127.0.0.1", "10", "a", "203.0.113.66"])
STRANGERS = ["203.0.113.66", "192.168.1.5", "11.0.0.1", "110.0.0.2", "9.255.255.255", "1.0.0.127", "192.0.2.1"]


def opened(config: str) -> tuple[list[tuple[bytes, int, listener.Patterns | None]], bool]:
    """What the model would bind, and whether its start fails then; keys count as good where they are named."""
    found = []

    def bind(_: listener.Listener, address: bytes, port: int, patterns: listener.Patterns | None, *key: bytes) -> None:
        if not 0 <= port <= 65535:
            raise Raised("no such port")
        found.append((address, port, patterns))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(listener.Listener, "__init__", bind)
        patch.setattr(listener.SSLListener, "__init__", bind)
        patch.setattr(listener.os.path, "exists", lambda path: True)
        try:
            for _ in listener.listeners(Options(sxp.read(config.encode("latin-1")))):
                pass
        except Raised:
            return found, True
    return found, False


@given(CONFIG, st.dictionaries(st.sampled_from(STRANGERS + ["10.0.0.2", "127.0.0.1"]), NAMES), st.booleans())
@example(r"(xend-relocation-server yes)(xend-relocation-address 10.0.0.1)"
         r"(xend-relocation-hosts-allow '^10\\.[0-9]+\\.0\\.1$')", {}, False)
@example(r"(xend-relocation-server yes)(xend-relocation-address 10.0.0.1)"
         r"(xend-relocation-hosts-allow '^10\\.0\\.0\\.2$')", {"203.0.113.66": "10.0.0.2"}, True)
@example(r"(xend-relocation-server yes)(xend-relocation-address 10.0.0.1)"
         r"(xend-relocation-hosts-allow ^node$)", {"203.0.113.66": "node"}, False)
@example("(xend-relocation-server yes", {}, False)
def test_no_configuration_is_called_closed_that_is_open(config: str, names: dict[str, str], dns: bool):
    """``names`` is what reverse look-ups say: out of /etc/hosts, or with ``dns`` out of PTR records."""
    bound, failed = opened(config)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(opens, "name_service", lambda: ["files", "dns"] if dns else ["files"])
        patch.setattr(opens, "names_here", lambda: [] if dns else [
            (ipaddress.IPv4Address(address), name) for address, name in names.items()])
        patch.setattr(listener.socket, "getfqdn", lambda peer: names.get(peer, peer))
        try:
            lines, closed = opens.report(opens.read(config), MANAGEMENT)
        except opens.BadInput as error:
            assert failed and not bound or str(error).startswith("xend-relocation-address: "), error
            return
        said = [line for line in lines if line.startswith("listens on ")]
        if failed:
            assert len(said) >= len(bound)
        else:
            assert len(said) == len(bound)
        if closed:
            for address, port, patterns in bound:
                where = ipaddress.IPv4Address(opens.address_of(address.decode("latin-1")))
                assert f" {where}:{port or 'a port'}" in " ".join(said)
                assert where.is_loopback or where in MANAGEMENT and not where.is_unspecified
                if not where.is_loopback:
                    assert not [peer for peer in STRANGERS if listener.admitted(peer, patterns)]


@given(st.text("()'\"#;\\ \n\x04x07aAfF\xe9{@", max_size=12))
def test_it_reads_as_the_model_reads(config: str):
    def as_text(value: sxp.Sxp) -> object:
        return [as_text(item) for item in value] if isinstance(value, list) else value.decode("latin-1")
    try:
        expected = as_text(sxp.read(config.encode("latin-1")))
    except Raised:
        with pytest.raises(opens.BadInput):
            opens.read(config)
        return
    assert opens.read(config) == expected


def test_it_is_one_file():
    """Copied alone to an old Domain-0, it runs: it imports nothing but the standard library."""
    source = Path(opens.__file__).read_text(encoding="utf-8")
    imported = set(re.findall(r"^\s*(?:import|from) (\w+)", source, re.MULTILINE))
    assert imported and imported <= set(sys.stdlib_module_names)


def test_what_looks_like_an_address_is_not_looked_for_among_the_interfaces(monkeypatch):
    """xend takes be0 for IPv6, and looks it up as a host."""
    monkeypatch.setattr(opens, "interface_address", lambda name: "192.0.2.1")
    monkeypatch.setattr(opens.socket, "getaddrinfo", lambda host, *_: [(0, 0, 0, "", (f"host {host.decode()}", 0))])
    said = {name: opens.address_of(name) for name in ("eth1", "be0", "be0:", "10.1")}
    assert said == {"eth1": "192.0.2.1", "be0": "host be0", "be0:": "host be0:", "10.1": "host 10.1"}
