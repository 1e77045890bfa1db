# SPDX-License-Identifier: MIT
"""exposure.py takes packets from all addresses through the rules at once: here they go one after the other.

With random rules as test_exposure_probed.py has them, but some of their conditions cannot be told: such a one may hold
or not. Shortcuts for long rows of rules and for large sets change nothing.
"""
from __future__ import annotations

import itertools
import json
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import exposure
from tests.captures import DPORT, SADDR, capture, match, nft

MARK = {"meta": {"key": "mark"}}
#: What cannot be told: how many packets come.
LIMIT = {"limit": {"rate": 1, "per": "second"}}
#: Always the same ones.
ALWAYS = settings(max_examples=200, deadline=None, derandomize=True, database=None,
                  suppress_health_check=list(HealthCheck))


def prefix(length: int, host: int) -> dict:
    return {"prefix": {"addr": f"10.0.0.{host >> 32 - length << 32 - length}", "len": length}}


NETWORKS = st.builds(prefix, st.integers(29, 32), st.integers(0, 7))
SETS = st.builds(lambda hosts: {"set": [f"10.0.0.{host}" for host in hosts]},
                 st.lists(st.integers(0, 7), min_size=1, max_size=4, unique=True))
SIGNS = st.sampled_from(["==", "==", "!="])
SOURCES = st.builds(match, st.just(SADDR), NETWORKS | SETS, SIGNS)
CONDITIONS = SOURCES | st.builds(match, st.just(MARK), st.integers(0, 2), SIGNS) | st.just(LIMIT) | st.builds(
    match, st.just(DPORT), st.sampled_from([22, 8002, 8002]), SIGNS)
MARKS = st.builds(lambda number: {"mangle": {"key": MARK, "value": number}}, st.integers(0, 2))
VERDICTS = st.sampled_from(["accept", "drop", "accept", "drop", "return", "continue"]).map(lambda name: {name: None})
MAPS = st.builds(lambda pairs: {"vmap": {"key": SADDR, "data": {"set": [
    [f"10.0.0.{host}", verdict] for host, verdict in pairs]}}},
    st.lists(st.tuples(st.integers(0, 7), VERDICTS), min_size=1, max_size=3, unique_by=lambda pair: pair[0]))


@st.composite
def rules(draw) -> list[list]:
    """A rule, or a row of rules that differ in their sources."""
    if draw(st.integers(0, 3)) == 0:
        before = draw(st.lists(st.just(LIMIT) | st.just(match(DPORT, 8002)), max_size=1))
        return [[*before, draw(SOURCES), draw(VERDICTS)] for _ in range(draw(st.integers(1, 5)))]
    ends = st.one_of(VERDICTS, VERDICTS, MARKS, MAPS, st.just({"counter": None}))
    changes = draw(st.lists(MARKS, max_size=1))
    return [[*draw(st.lists(CONDITIONS, max_size=2)), *changes, *draw(st.lists(CONDITIONS, max_size=1)), draw(ends)]]


@st.composite
def rule_sets(draw) -> list[tuple[str, list]]:
    """Rules of three chains; each of the last two is called once, so that no packet meets a rule twice."""
    chains = {name: list(itertools.chain(*draw(st.lists(rules(), max_size=most)))) for name, most in
              (("in", 5), ("one", 3), ("two", 3))}
    for name, callers in (("one", ["in"]), ("two", ["in", "one"])):
        caller = chains[draw(st.sampled_from(callers))]
        call = {draw(st.sampled_from(["jump", "jump", "goto"])): {"target": name}}
        caller.insert(draw(st.integers(0, len(caller))), [*draw(st.lists(CONDITIONS, max_size=2)), call])
    return [(name, rule) for name, listed in chains.items() for rule in listed]


def answer(listed: list[tuple[str, list]], policy: str) -> tuple[list, list]:
    """Who gets in, and who perhaps does."""
    more = tuple({"chain": {"family": "inet", "table": "t", "name": name}} for name in ("one", "two"))
    text = json.loads(nft(chain={"policy": policy}, more=more))
    text["nftables"] += [{"rule": {"family": "inet", "table": "t", "chain": name, "expr": rule}}
                         for name, rule in listed]
    judge = exposure.Judge(capture((8002,), nft=json.dumps(text)))
    found = judge.arrive(4, judge.host.interfaces["eth0"], None, exposure.address("203.0.113.11", 4), 8002)
    return found.open, found.perhaps


def met(rule: list, host: int, mark: int) -> Iterator[tuple[str | dict | None, int]]:
    """All that a rule may do to a packet from a host, and the mark behind it: a verdict, or None for the next rule."""
    for statement in rule:
        (kind, value), = statement.items()
        if kind == "match":
            right = value["right"]
            if value["left"] == SADDR:
                holds = host in hosts(right)
            else:
                holds = (mark if value["left"] == MARK else 8002) == right
            if holds == (value["op"] == "!="):
                break
        elif kind == "limit":
            yield None, mark
        elif kind == "mangle":
            mark = value["value"]
        elif kind == "vmap":
            verdicts = [verdict for key, verdict in value["data"]["set"] if key == f"10.0.0.{host}"]
            if verdicts:
                yield next(iter(verdicts[0])), mark
                return
            break
        elif kind != "counter":
            yield statement if value else kind, mark
            return
    yield None, mark


def hosts(right: dict) -> list[int]:
    """The last numbers of the addresses of a network or a set, of those that these tests have."""
    if "set" in right:
        return [int(each.rpartition(".")[2]) for each in right["set"]]
    begin = int(right["prefix"]["addr"].rpartition(".")[2])
    return list(range(begin, begin + (1 << 32 - right["prefix"]["len"])))


def walked(chains: dict[str, list], name: str, host: int, mark: int) -> set[tuple[str | None, int]]:
    """All that may become of a packet in a chain, and its mark: accepted, dropped, or None for its end."""
    ends, under_way = set(), {mark}
    for rule in chains[name]:
        following = set()
        for verdict, behind in (each for now in under_way for each in met(rule, host, now)):
            if verdict in (None, "continue"):
                following.add(behind)
            elif isinstance(verdict, dict):
                (how, value), = verdict.items()
                there = walked(chains, value["target"], host, behind)
                ends |= {each for each in there if each[0] or how == "goto"}
                following |= {each for end, each in there if not end and how == "jump"}
            else:
                ends.add((None if verdict == "return" else verdict, behind))
        under_way = following
    return ends | {(None, each) for each in under_way}


@ALWAYS
@given(listed=rule_sets(), policy=st.sampled_from(["accept", "drop"]))
def test_one_packet_after_the_other(listed: list, policy: str):
    """Who gets in is whose packet does, taken through the rules by itself; in doubt it goes both ways."""
    chains = {name: [rule for of, rule in listed if of == name] for name in ("in", "one", "two")}
    open_, perhaps = answer(listed, policy)
    for host in range(9):  # the last one is in no network of these rules
        fates = {verdict or policy for verdict, _ in walked(chains, "in", host, 0)}
        number = exposure.address(f"10.0.0.{host}", 4)
        said = [exposure.contains(flat, number) for flat in (open_, perhaps)]
        assert said == [fates == {"accept"}, len(fates) == 2], (host, fates)


@ALWAYS
@given(listed=rule_sets(), policy=st.sampled_from(["accept", "drop"]))
def test_shortcuts_change_nothing(listed: list, policy: str):
    """Rows of rules are taken as one from two on, and sets are large from two addresses on: or neither."""
    found = []
    for block, big in ((2, 2), (1 << 20, 1 << 20)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(exposure, "BLOCK", block)
            patch.setattr(exposure, "BIG", big)
            found.append(answer(listed, policy))
    assert found[0] == found[1]
