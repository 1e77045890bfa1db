# SPDX-License-Identifier: MIT
"""What exposure.py reads of a host, and what it tells: which rule lets somebody in, sizes, roles of ports."""
from __future__ import annotations

import sys

import pytest

from tests import captures
from tests.captures import DPORT, SADDR, capture, legacy, match, nft
from tests.lab import topology

sys.path.insert(0, str(topology.EXAMPLES / "domain-0"))
import exposure  # noqa: E402

ACCEPT, DROP = {"accept": None}, {"drop": None}


def prefix(address: str, length: int) -> dict:
    return {"prefix": {"addr": address, "len": length}}


def lines(found: dict[str, str], *allow: str) -> list[str]:
    """The report for people."""
    return exposure.table(exposure.Report(found, exposure.Allowed(list(allow))), False)


def exposed(found: dict[str, str], *allow: str) -> list[tuple[str, str, int]]:
    """Rule, sentence and size of each exposure, smallest first."""
    said = exposure.Report(found, exposure.Allowed(list(allow))).json()["exposures"]
    return sorted([(each["rule"] or "", each["text"], each["excess_addresses"]) for each in said],
                  key=lambda each: each[2])


# -- which rule lets somebody in

def vmap(key: dict, *pairs: tuple[object, dict]) -> dict:
    return {"vmap": {"key": key, "data": {"set": [list(pair) for pair in pairs]}}}


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
    found |= {"iptables-legacy-save": legacy("-A INPUT -p tcp -m tcp --dport 8002 -j ACCEPT", policy="DROP")}
    (_, text, _), = exposed(found)
    assert "and more admit 50,000 addresses;" in text
