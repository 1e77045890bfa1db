# SPDX-License-Identifier: MIT
"""The mutants themselves, without a lab: what each operator does, who is concerned, and what a run reports."""
from __future__ import annotations

from pathlib import Path

import pytest

from tests.mutants import concern, survivors
from tests.mutants.__main__ import ROOT, all_mutants, examples, report
from tests.mutants.operators import OPERATORS, Mutant, mutants
from tests.mutants.runner import Result, RunnerError, run

#: For each operator a small file, and some of what it makes of it.
EACH = {
    "port": ("x.nft", "tcp dport 22 accept # dport 22", ["tcp dport 23 accept"]),
    "wider": ("x.v4", "-A X -s 192.168.1.0/24 -j ACCEPT", ["-A X -s 192.168.0.0/23 -j ACCEPT"]),
    "narrower": ("x.v6", "-A X -s fe80::/10 -j ACCEPT", ["-A X -s fe80::/11 -j ACCEPT"]),
    "verdict": ("x.v4", "-A X -p tcp -j REJECT --reject-with tcp-reset", ["-A X -p tcp -j ACCEPT"]),
    "silent": ("x.nft", "reject with tcp reset", ["drop"]),
    "answer": ("x.nft", "reject with tcp reset", ["reject"]),
    "condition": ("x.nft", 'iifname "eth1" ip saddr 10.0.0.0/8 accept',
                  ["ip saddr 10.0.0.0/8 accept", 'iifname "eth1" accept']),
    "item": ("x.nft", "udp dport { 53, 67 } accept", ["udp dport { 67 } accept", "udp dport { 53 } accept"]),
    "not": ("x.v4", "-A X ! -i lo -j DROP", ["-A X -i lo -j DROP"]),
    "family": ("x.nft", "table inet x {\n}", ["table ip x {", "table ip6 x {"]),
    "hook": ("x.v4", "-I INPUT -j X", ["-I FORWARD -j X"]),
    "place": ("x.v4", "-I INPUT -j X", ["-A INPUT -j X"]),
    "number": ("x.nft", "ip6 hoplimit 255 accept", ["ip6 hoplimit 254 accept"]),
    "emptied": ("x.sxp", "(xend-relocation-address '10.0.0.1')", ["(xend-relocation-address '')"]),
    "switch": ("x.conf", "PermitTTY no", ["PermitTTY yes"]),
    "pattern": ("x.sxp", r"(xend-relocation-hosts-allow '^a\\.b$')",
                [r"(xend-relocation-hosts-allow 'a\\.b$')", r"(xend-relocation-hosts-allow '^a.b$')"]),
    "decision": ("x.sh", 'if [ "$1" = a ]; then\n    exit 2\nfi', ['if [ "$1" != a ]; then', "exit 0"]),
    "removed": ("x.sh", "# why\nset -eu\nexit", [""]),
    "swapped": ("x.nft", "tcp dport 22 accept\n# a comment\ndrop\ndrop", ["drop\ntcp dport 22 accept"]),
    "python": ("x.py", "a = 1 if not b and c in d[2] else True",
               ["a = 1 if b and c in d[2] else True", "a = 1 if not b or c in d[2] else True",
                "a = 1 if not b and c not in d[2] else True", "a = 2 if not b and c in d[2] else True",
                "a = 1 if not b and c in d[2] else False"]),
}


def test_every_operator_is_tried():
    assert list(EACH) == [operator.name for operator in OPERATORS]


@pytest.mark.parametrize("name", EACH)
def test_what_an_operator_makes(name):
    file, text, expected = EACH[name]
    made = [mutant.new for mutant in mutants(file, text + "\n") if mutant.operator == name]
    assert set(made) >= set(expected)


@pytest.mark.parametrize(("file", "line", "expected"), [
    ("x.conf", "AllowedIPs = 192.0.2.2/32, 2001:db8::2/128",
     {"AllowedIPs = 192.0.2.2/31, 2001:db8::2/128", "AllowedIPs = 192.0.2.2/32, 2001:db8::2/127",
      "AllowedIPs = 2001:db8::2/128", "AllowedIPs = 192.0.2.2/32", ""}),
    ("x.conf", "Match Address 192.0.2.2,*%*",
     {"Match Address 192.0.2.2/31,*%*", "Match Address *%*", "Match Address 192.0.2.2", ""}),
    ("x.conf", "ListenPort = 51820", {"ListenPort = 51821", ""}),
    ("x.conf", "[Peer]", set()),
    ("x.v4", "-A X -s 192.0.2.1,192.0.2.4 -j ACCEPT",
     {"-A X -s 192.0.2.4 -j ACCEPT", "-A X -s 192.0.2.1 -j ACCEPT", "-A X -s 192.0.2.0/31,192.0.2.4 -j ACCEPT",
      "-A X -s 192.0.2.1,192.0.2.4/31 -j ACCEPT", "-A X -s 192.0.2.1,192.0.2.4 -j DROP", "-A X -j ACCEPT", ""}),
    ("x.v4", "-I INPUT -p tcp -m multiport --dports 16514,49152:49216 -j X",
     {"-I INPUT -p tcp -m multiport --dports 16515,49152:49216 -j X",
      "-I INPUT -p tcp -m multiport --dports 16514,49153:49216 -j X",
      "-I INPUT -p tcp -m multiport --dports 16514,49152:49217 -j X",
      "-I INPUT -p tcp -m multiport --dports 49152:49216 -j X", "-I INPUT -p tcp -m multiport --dports 16514 -j X",
      "-I INPUT -p tcp -m multiport --dports 16514,49152:49216 -j ACCEPT",
      "-I INPUT -m multiport --dports 16514,49152:49216 -j X", "-I INPUT -p tcp -m multiport -j X",
      "-I FORWARD -p tcp -m multiport --dports 16514,49152:49216 -j X",
      "-A INPUT -p tcp -m multiport --dports 16514,49152:49216 -j X", ""}),
    ("x.service", "Before=a.target b-c.target", {"Before=b-c.target", "Before=a.target", ""}),
])
def test_all_that_becomes_of_a_line(file, line, expected):
    """Lists, and the settings of a tunnel and of a unit."""
    assert {mutant.new for mutant in mutants(file, line + "\n")} == expected


def test_comments_are_left_alone():
    text = "#!/bin/sh\n# dport 22 accept\n-A X -j ACCEPT # -j DROP\n"
    for mutant in mutants("x.v4", text):
        assert "# -j DROP" in mutant.text and "#!/bin/sh\n# dport 22 accept\n" in mutant.text, mutant


def test_the_same_line_twice_has_two_mutants():
    first, second = (mutant for mutant in mutants("x.sh", "exit 1\nexit 1\n") if mutant.operator == "decision")
    assert (first.nth, first.text) == (1, "exit 0\nexit 1\n") and (second.nth, second.text) == (2, "exit 1\nexit 0\n")
    assert first != second


def test_every_example_has_its_tests():
    """A new example has mutants, and somebody to catch them; or it is named as one that decides nothing."""
    folder = ROOT / "examples"
    names = [str(path.relative_to(folder)) for path in folder.rglob("*")
             if path.is_file() and "__pycache__" not in path.parts]
    assert {name for name in names if concern.tests_of(name)} == set(examples())
    for name in examples():
        files = [argument for argument in concern.tests_of(name) if argument.endswith(".py")]
        assert files and all((ROOT / file).exists() for file in files), name
        assert mutants(name, (folder / name).read_text(encoding="utf-8")), name
    with pytest.raises(LookupError, match="examples/domain-0/new.nft: which tests concern it"):
        concern.tests_of("domain-0/new.nft")


def test_every_reason_is_for_a_mutant_that_exists():
    existing = set(all_mutants(examples()))
    reasons = survivors.read(survivors.REASONS.read_text(encoding="utf-8"))
    assert reasons and not [str(mutant) for mutant in reasons if mutant not in existing]


def test_a_reason_is_written_and_only_one():
    mutant = '{ file = "x.v4", operator = "port", old = "a", new = "b" }'
    with pytest.raises(ValueError, match="one reason is expected for x.v4"):
        survivors.read(f'[[because]]\nreason = " "\nmutants = [{mutant}]')
    with pytest.raises(ValueError, match="one reason is expected for x.v4"):
        survivors.read(f'[[because]]\nreason = "equal"\nmutants = [{mutant}, {mutant}]')


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project of one example, and a test that looks at its port and at nothing else."""
    (tmp_path / "examples").mkdir()
    (tmp_path / "examples/x.sxp").write_text("(xend-relocation-port 8002)\n(xend-relocation-server no)\n")
    (tmp_path / "test_x.py").write_text("def test_x():\n    assert '8002' in open('examples/x.sxp').read()\n")
    return tmp_path


def port_and_switch(project: Path) -> list[Mutant]:
    text = (project / "examples/x.sxp").read_text()
    return [mutant for mutant in mutants("x.sxp", text) if mutant.operator in ("port", "switch")]


def run_in(project: Path) -> Result:
    return run(project, port_and_switch(project), lambda _: ["test_x.py"], 2, lambda _: None)


def test_a_survivor_is_reported(project):
    result = run_in(project)
    port, switch = port_and_switch(project)
    assert (result.caught, result.survived) == ([port], [switch])
    lines, well = report(result, {}, ["x.sxp"])
    assert lines == ["x.sxp:2: switch: - (xend-relocation-server no) + (xend-relocation-server yes)",
                     "mutants: 1 caught, 0 survive with a reason, 1 survive; 0 more are no valid files"]
    assert not well
    assert report(result, {switch: "equal"}, ["x.sxp"]) == (
        ["mutants: 1 caught, 1 survive with a reason, 0 survive; 0 more are no valid files"], True)


def test_a_reason_that_no_longer_holds_is_reported():
    caught, gone = Mutant("x.sxp", "port", "a", "b"), Mutant("x.sxp", "port", "c", "d")
    result = Result(caught=[caught])
    lines, well = report(result, {caught: "equal", gone: "equal"}, ["x.sxp"])
    assert lines[:2] == ["survivors.toml: x.sxp: port: - a + b: is caught",
                         "survivors.toml: x.sxp: port: - c + d: is gone"] and not well
    assert report(result, {caught: "equal"}, ["another.sxp"])[1]  # of files that were not run nothing is known


@pytest.mark.parametrize("text", ["def test_x():\n    assert False\n", ""], ids=["they fail anyway", "there are none"])
def test_tests_that_catch_nothing(project, text):
    (project / "test_x.py").write_text(text)
    with pytest.raises(RunnerError, match="without a mutant the tests of x.sxp do not pass"):
        run_in(project)


def test_an_example_that_is_none_is_named(capsys):
    from tests.mutants.__main__ import main
    assert main(["nothing.nft"]) == 2
    assert capsys.readouterr().err == "no example of that name has mutants: nothing.nft\n"
