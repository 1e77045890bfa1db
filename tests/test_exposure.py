# SPDX-License-Identifier: MIT
"""exposure.py as one runs it: its sentences, its exit statuses, its JSON, and what bad captures come to."""
from __future__ import annotations

import ast
import io
import json
import os
import re
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

import exposure
from tests import captures
from tests.bench.exposure import cost
from tests.captures import DPORT, SADDR, capture, legacy, match, nft, write
from tests.lab import topology

ROOT = Path(__file__).resolve().parents[1]
PROGRAM = topology.EXAMPLES / "domain-0" / "exposure.py"
SCHEMA = json.loads((PROGRAM.parent / "exposure.schema.json").read_text())
#: The rules of the 2005 chapter, as the kernel has them.
CHAPTER = legacy("-A INPUT -s 192.0.0.0/8 -p tcp -m tcp --dport 8002 -j ACCEPT",
                 "-A INPUT -p tcp -m tcp --dport 8002 -j REJECT --reject-with icmp-port-unreachable")


def run(*arguments: str | Path) -> tuple[int, str, str]:
    """Exit status, standard output and standard error."""
    out, error = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(error):
        status = exposure.main([str(argument) for argument in arguments])
    return status, out.getvalue(), error.getvalue()


def judged(tmp_path: Path, found: dict[str, str], *arguments: str) -> tuple[int, str, str]:
    return run("--from", write(tmp_path / "capture", found), *arguments)


def opened(found: dict[str, str], port: int = 8002, family: int = 4, interface: str = "eth0") -> tuple[list, list]:
    """Who gets to a port, and who perhaps: as networks."""
    report = exposure.Report(found, exposure.Allowed([]))
    row, = [row for row in report.rows if (row.port, row.family, row.interface) == (port, family, interface)]
    return (exposure.networks(row.answer.open, family), exposure.networks(row.answer.perhaps, family))


def test_what_the_chapter_lets_in(tmp_path: Path):
    """The sentence of the 2005 chapter's /8, with numbers, the rule, and the page to read."""
    status, out, _ = judged(tmp_path, capture((8002,), legacy=CHAPTER), "--allow", "8002=192.168.1.0/24")
    said = " ".join(out.split())
    assert status == 1
    assert "192.0.0.0/8 admits 16,777,216 addresses; 192.168.1.0/24 was meant to." in said
    assert "16,776,960 too many" in said
    assert "-s 192.0.0.0/8 -p tcp -m tcp --dport 8002 -j ACCEPT" in said
    assert re.search(r"https://\S+/reference/ports.html#ports-xend", said)


def test_advice_leads_to_pages_that_are_there():
    for *_, page in exposure.ROLES:
        file, _, anchor = page.partition("#")
        text = (ROOT / "source" / file.replace(".html", ".md")).read_text()
        assert not anchor or f"({anchor})=" in text, page


@pytest.mark.parametrize(("rules", "allow", "status"), [
    (CHAPTER, ["192.0.0.0/8"], 0),
    (CHAPTER, ["8002=192.0.0.0/9", "192.128.0.0/9"], 0),
    (CHAPTER, ["22=192.0.0.0/8"], 1),
    (legacy("-A INPUT -m recent --name x --rcheck -j DROP", "-A INPUT -j DROP"), [], 0),
    (legacy("-A INPUT -m recent --name x --rcheck -j ACCEPT", "-A INPUT -j DROP"), [], 2),
    (legacy("-A INPUT -m recent --name x --rcheck -j DROP"), [], 2),
    (legacy("-A INPUT -s 192.0.2.1/32 -j ACCEPT", "-A INPUT -m recent --name x --rcheck -j DROP"), [], 1),
    (legacy("-A INPUT -m limit --limit 1/sec -j LOG", "-A INPUT -j DROP"), [], 0),
])
def test_the_exit_status(tmp_path: Path, rules: str, allow: list[str], status: int):
    arguments = [word for network in allow for word in ("--allow", network)]
    assert judged(tmp_path, capture((8002,), legacy=rules), *arguments)[0] == status


@pytest.mark.parametrize("bad", ["192.168.1.1/8", "x", "0=10.0.0.0/8", "22=", "65536=::/0", "\x1b[2J"])
def test_a_bad_intent_is_one_line(tmp_path: Path, bad: str):
    status, out, error = judged(tmp_path, capture(), "--allow", bad)
    assert (status, out, error.count("\n")) == (2, "", 1) and "\x1b" not in error


def test_lines_fit_80_columns_and_have_no_colour(tmp_path: Path):
    long = "x" * 200
    found = capture(legacy=CHAPTER) | {"sockets": captures.sockets("*:22", "[::]:8002", "0.0.0.0:5900", "127.0.0.1:80")}
    found["sockets"] = found["sockets"].replace("some", long)
    for allow in ([], ["--allow", "192.168.1.0/24"]):
        _, out, _ = judged(tmp_path, found, *allow)
        assert "\x1b" not in out
        assert [line for line in out.splitlines() if len(line) > 80 and "https://" not in line] == []


def conforms(value: object, schema: dict, where: str = "") -> None:
    """The part of JSON Schema that ours uses."""
    kinds = {"object": dict, "array": list, "string": str, "integer": int, "null": type(None)}
    allowed = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    assert isinstance(value, tuple(kinds[name] for name in allowed)), where
    assert value in schema.get("enum", [value]), where
    if isinstance(value, dict):
        assert set(schema["required"]) <= set(value) and not schema["additionalProperties"], where
        assert set(value) <= set(schema["properties"]), where
        for key, each in value.items():
            conforms(each, schema["properties"][key], f"{where}.{key}")
    if isinstance(value, list):
        for each in value:
            conforms(each, schema["items"], where + "[]")


def test_json_is_as_the_schema_says(tmp_path: Path):
    rules = legacy("-A INPUT -s 192.0.0.0/8 -p tcp -m tcp --dport 8002 -j ACCEPT",
                   "-A INPUT -p tcp -m tcp --dport 22 -m recent --name x --rcheck -j ACCEPT", policy="DROP")
    status, out, _ = judged(tmp_path, capture(legacy=rules), "--json", "--allow", "8002=192.168.1.0/24")
    said = json.loads(out)
    conforms(said, SCHEMA)
    assert said["status"] == status == 1
    exposed, = [each for each in said["exposures"] if each["family"] == 4]
    assert (exposed["port"], exposed["admits"], exposed["excess_addresses"]) == (8002, 1 << 24, (1 << 24) - 256)
    row = next(row for each in said["ports"] if each["port"] == 22 for row in each["reachable"])
    assert row["perhaps"] == ["0.0.0.0/0"] and "recent" in row["reasons"][0]


def test_ports_that_settings_have_moved(tmp_path: Path):
    """What xend, sshd and libvirt are set to, and what lets in whoever gets there."""
    found = capture((2222, 9002, 16000), **{
        "sshd": "port 2222\npasswordauthentication yes\npermitrootlogin no\n",
        "xend-config.sxp": "# (xend-port 1)\n(xend-relocation-port 9002)\n(xend-relocation-hosts-allow '')\n",
        "libvirtd.conf": 'tcp_port = "16000"\n#auth_tcp = "none"\n'})
    ports = {each["port"]: each for each in json.loads(judged(tmp_path, found, "--json")[1])["ports"]}
    assert [ports[port]["role"] for port in (2222, 9002, 16000)] == ["ssh", "xend relocation", "libvirt without TLS"]
    assert "takes passwords" in ports[2222]["remarks"][0] and "whoever connects" in ports[9002]["remarks"][0]
    assert ports[16000]["remarks"] == []


# -- the rules, where no kernel is needed to know

def test_no_listener_is_no_exposure(tmp_path: Path):
    assert judged(tmp_path, capture(()))[0] == 0
    status, out, _ = judged(tmp_path, capture(()) | {"sockets": captures.sockets("127.0.0.1:8002")})
    assert status == 0 and "Only from this host itself: 8002" in out


def test_a_loopback_listener_is_open_where_the_kernel_routes_to_it():
    """route_localnet: CVE-2020-8558."""
    found = capture(()) | {"sockets": captures.sockets("127.0.0.1:8002")}
    found["settings"] += "ipv4 eth0 route_localnet 1\n"
    assert opened(found) == (["0.0.0.0/0"], [])


def test_a_socket_of_one_interface():
    found = capture(()) | {"sockets": captures.sockets("0.0.0.0%eth1:8002")}
    assert opened(found, interface="eth1")[0] == ["0.0.0.0/0"]
    assert not exposure.Report(found, exposure.Allowed([])).rows[1:]


def test_the_reverse_path_check():
    found = capture() | {"settings": "ipv4 all rp_filter 1\n"}
    assert opened(found, interface="eth1")[0] == ["192.168.1.0/24"]
    assert "192.168.1.0/24" not in opened(found)[0] and exposure.size(exposure.union(*(
        exposure.network(each, 4) for each in opened(found)[0]))) == (1 << 32) - 256


def test_whom_no_answer_reaches_cannot_connect():
    assert opened(capture() | {"routes4": "192.168.1.0/24 dev eth1\n"}) == (["192.168.1.0/24"], [])


def test_rules_for_the_way_out_count():
    rules = CHAPTER.replace("COMMIT", ":OUTPUT DROP [0:0]\n-A OUTPUT -d 192.168.0.0/16 -j ACCEPT\nCOMMIT")
    assert opened(capture(legacy=rules)) == (["192.168.0.0/16"], [])


def test_a_translation_is_never_guessed():
    nat = ("*nat\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -s 10.0.0.0/8 -p tcp -m tcp --dport 80 -j REDIRECT"
           " --to-ports 8002\nCOMMIT\n")
    assert opened(capture(legacy=nat + legacy(policy="DROP"))) == ([], [])
    rules = legacy("-A INPUT -p tcp -m tcp --dport 8002 -j ACCEPT", policy="DROP")
    drop = "*mangle\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -p tcp -m tcp --dport 8002 -j DROP\nCOMMIT\n"
    assert opened(capture(legacy=drop + nat + rules)) == ([], ["10.0.0.0/8"])


def test_what_packets_change_is_never_taken_for_granted():
    """A set that rules fill: who is in it now says nothing of who will be."""
    dynamic = {"set": {"family": "inet", "table": "t", "name": "d", "type": "ipv4_addr", "elem": ["192.0.2.1"]}}
    update = {"set": {"op": "add", "elem": SADDR, "set": "@d"}}
    rules = nft([match(DPORT, 1), update], [match(SADDR, "@d"), {"accept": None}], chain={"policy": "drop"},
                more=(dynamic,))
    assert opened(capture(nft=rules)) == ([], ["0.0.0.0/0"])


def test_marks_between_chains_of_one_place_are_in_doubt():
    """Nobody says which of two base chains with the same priority is first."""
    mark = {"meta": {"key": "mark"}}
    listed = captures.rule_set(
        captures.base_chain("input", [{"mangle": {"key": mark, "value": 7}}], name="marks"),
        captures.base_chain("input", [match(mark, 7), {"accept": None}], policy="drop"))
    assert opened(capture(nft=listed)) == ([], ["0.0.0.0/0"])


@pytest.mark.parametrize("statement", [
    {"accept": None, "drop": None}, {"frob": None}, {"xt": None}, {"xt": {"type": "target", "name": "X"}},
    {"queue": {}},
    {"match": {"op": "==", "left": {"osf": {}}, "right": "x"}}, 7,
    {"vmap": {"key": {"osf": {}}, "data": {"set": []}}}, {"mangle": {"key": DPORT, "value": 22}},
])
def test_what_is_not_known_is_in_doubt(statement: object):
    """Never closed, and never open."""
    for policy in ("accept", "drop"):
        other = {"accept" if policy == "drop" else "drop": None}
        found = capture(nft=nft([statement, other], chain={"policy": policy}))
        assert opened(found) == ([], ["0.0.0.0/0"]), policy


@pytest.mark.parametrize("words", [
    "-m frob --x -j DROP -j ACCEPT", "-m tcp --frob 1 -j ACCEPT", "-j FROB", "-s 10.0.0.0/255.0.0.255 -j ACCEPT",
    "-m conntrack --ctstate FROB -j ACCEPT", '-m string --string "unfinished -j ACCEPT', "-m recent --rcheck -g X",
])
def test_what_is_not_known_of_iptables_is_in_doubt(words: str):
    found = capture(legacy=legacy(f"-A INPUT -p tcp {words}", "-A X -j ACCEPT", policy="DROP", chains=("X",)))
    assert opened(found) == ([], ["0.0.0.0/0"])


def test_tricks_of_whoever_connects_are_seen():
    """A source port, flags and extension headers are the other side's choice."""
    port = legacy("-A INPUT -p tcp -m tcp --sport 53 -j ACCEPT", policy="DROP")
    assert opened(capture(legacy=port))[0] == ["0.0.0.0/0"]
    flags = {"payload": {"protocol": "tcp", "field": "flags"}}
    assert opened(capture(nft=nft([match(flags, "syn"), {"drop": None}])))[0] == ["0.0.0.0/0"]
    six = {"payload": {"protocol": "ip6", "field": "nexthdr"}}
    found = capture(nft=nft([match(six, "tcp"), {"drop": None}])) | {"sockets": captures.sockets("[::]:8002")}
    assert opened(found, family=6) == ([], ["::/0"])


def test_an_interface_of_a_vrf_is_in_doubt_where_rules_ask_for_it():
    iif = match({"meta": {"key": "iifname"}}, "eth0")
    found = capture(nft=nft([iif, {"accept": None}], chain={"policy": "drop"}))
    found["links"] = found["links"].replace("eth0: <BROADCAST,UP,LOWER_UP> mtu 1500",
                                            "eth0: <BROADCAST,UP,LOWER_UP> mtu 1500 master red\\    vrf_slave table 10")
    assert opened(found) == ([], ["0.0.0.0/0"]) and opened(found, interface="eth1") == ([], [])


def test_the_program_is_python_3_6():
    """And was run on 3.6.15, with the captures of these tests."""
    ast.parse(PROGRAM.read_text(), feature_version=(3, 6))


# -- captures that are damaged, or made to do harm

def nested(depth: int) -> str:
    return legacy(*(f"-A C{n} -j C{n + 1}" for n in range(depth)), f"-A C{depth} -s 192.0.2.0/24 -j ACCEPT",
                  "-A INPUT -j C0", policy="DROP", chains=tuple(f"C{n}" for n in range(depth + 1)))


def test_ten_thousand_nested_jumps_are_followed():
    assert opened(capture((8002,), legacy=nested(10_000))) == (["192.0.2.0/24"], [])


def doubled(depth: int) -> str:
    """Two ways through each chain: as many ways as there are atoms in a cup of tea."""
    return legacy(*(f"-A C{n} {source}-j C{n + 1}" for n in range(depth) for source in ("-s 10.0.0.0/8 ", "")),
                  f"-A C{depth} -s 192.0.2.0/24 -j ACCEPT", "-A INPUT -j C0", policy="DROP",
                  chains=tuple(f"C{n}" for n in range(depth + 1)))


def test_ways_that_double_at_each_chain_are_followed():
    assert opened(capture((8002,), legacy=doubled(80))) == (["192.0.2.0/24"], [])


BAD = {
    "cut JSON": capture(nft=nft([{"accept": None}])[:-5]),
    "JSON that is no rule set": capture(nft="[1, 2]"),
    "JSON of null": capture(nft='{"nftables": null}'),
    "nested JSON": capture(nft="[" * 100_000),
    "nested expressions": capture(nft='{"nftables": ' + '{"a":' * 100_000),
    "a jump to nowhere": capture(nft=nft([{"jump": {"target": "no\x1b[2J"}}])),
    "a set that is not there": capture(nft=nft([match(SADDR, "@no"), {"accept": None}])),
    "a rule of no chain": capture(nft=json.dumps({"nftables": [
        {"rule": {"family": "inet", "table": "t", "chain": "no", "expr": []}}]})),
    "a policy of another kind": capture(nft=nft(chain={"policy": "open"})),
    "a loop": capture(legacy=legacy("-A INPUT -j A", "-A A -j B", "-A B -j A", chains=("A", "B"))),
    "a chain that jumps to itself": capture(legacy=legacy("-A INPUT -j A", "-A A -g A", chains=("A",))),
    "cut iptables": capture(legacy=CHAPTER.removesuffix("COMMIT\n")),
    "a rule of no iptables chain": capture(legacy=legacy("-A NO -j ACCEPT")),
    "no iptables at all": capture(legacy="hello\n"),
    "no links": {name: text for name, text in capture().items() if name != "links"},
    "odd links": capture(links="?\x1b]0;title\x07\n"),
    "odd sockets": capture(sockets="LISTEN\n"),
    "odd sockets' ports": capture(sockets=captures.sockets("1.2.3:22:x")),
    "odd addresses": capture(addresses="2: eth9    inet 1.2.3.4/24\n"),
    "odd routes": capture(routes4="default via\n300.1.1.1/8 dev x\n"),
    "odd settings": capture(settings="ipv4 all rp_filter x\n"),
    "an address of no interface": capture(addresses="2: eth7    inet 1.2.3.4/24\n"),
    "tables and no program for them": capture(**{"unread-tables": "inet mine\n"}),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_capture_is_one_clear_line(tmp_path: Path, name: str):
    status, out, error = judged(tmp_path, BAD[name])
    assert (status, out, error.count("\n")) == (2, "", 1), error
    assert error.startswith("exposure.py: ") and error[:-1].isprintable() and len(error) < 300


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path):
    folder = write(tmp_path / "capture", capture())
    os.truncate(write(folder, {"nft.json": ""}) / "nft.json", 1 << 30)
    status, out, error = run("--from", folder)
    assert (status, out, error.count("\n")) == (2, "", 1) and "1,073,741,824 bytes" in error


def test_what_is_no_file_is_not_read(tmp_path: Path):
    folder = write(tmp_path / "capture", capture())
    (folder / "nft.json").symlink_to("/dev/zero")
    assert run("--from", folder)[0] == 2
    assert run("--from", tmp_path / "nowhere")[0] == 2


def test_names_from_a_capture_cannot_write_to_the_terminal(tmp_path: Path):
    evil = "e\x1b[31m\u202e"
    rules = legacy(f'-A INPUT -p tcp -m comment --comment "{evil}" -j ACCEPT', policy="DROP")
    found = capture((8002,), legacy=rules, host=evil)
    found["links"] = found["links"].replace("eth1", evil)
    found["addresses"] = found["addresses"].replace("eth1", evil)
    found["sockets"] = found["sockets"].replace("some", evil)
    for form in ([], ["--json"]):
        _, out, _ = judged(tmp_path, found, *form)
        assert out and all(line.isprintable() for line in out.splitlines())


# -- how long it takes

@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("large")
    for name, found in [("10k", captures.linear(10_000)), ("100k", captures.linear(100_000)),
                        ("set", captures.large_set(1_000_000))]:
        write(folder / name, found)
    return folder


def test_speed_and_memory(large: Path):
    """Seconds are those of the processor: others may be at work on this machine."""
    small, _ = cost(large / "10k")
    for name in ("100k", "set"):
        seconds, megabytes = cost(large / name)
        assert seconds < 5 and megabytes < 500, (name, seconds, megabytes)
        if name == "100k":
            assert seconds < 12 * small
