# SPDX-License-Identifier: MIT
"""exposure.py in doubt: a condition that cannot be told may hold or not, and its answer is what both have in common.

The comparison with the kernel has no doubts in it: here each is taken for yes and for no, and those answers, which the
kernel has confirmed, have to make up that of the rules in doubt. Random rules; shortcuts for long rows of rules and
for large sets change nothing.
"""
from __future__ import annotations

import itertools
import json
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.captures import DPORT, SADDR, capture, match, nft
from tests.lab import topology

sys.path.insert(0, str(topology.EXAMPLES / "domain-0"))
import exposure  # noqa: E402

MARK = {"meta": {"key": "mark"}}
#: What cannot be told: how many packets come.
LIMIT = {"limit": {"rate": 1, "per": "second"}}
YES, NO = {"counter": None}, match({"meta": {"key": "l4proto"}}, "udp")
#: Always the same ones.
ALWAYS = settings(max_examples=1500, deadline=None, derandomize=False, database=None,
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
    ends = st.one_of(VERDICTS, VERDICTS, MARKS, MAPS, st.just(YES))
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


@ALWAYS
@given(listed=rule_sets(), policy=st.sampled_from(["accept", "drop"]))
def test_a_doubt_is_yes_or_no(listed: list, policy: str):
    places = [(at, within) for at, (_, rule) in enumerate(listed) for within, each in enumerate(rule) if each == LIMIT]
    every, some = [0, exposure.END[4]], []
    for told in itertools.islice(itertools.product((YES, NO), repeat=len(places)), 64):
        certain = [(name, list(rule)) for name, rule in listed]
        for (at, within), each in zip(places, told):
            certain[at][1][within] = each
        open_, perhaps = answer(certain, policy)
        assert perhaps == []
        every, some = exposure.intersection(every, open_), exposure.union(some, open_)
    open_, perhaps = answer(listed, policy)
    if len(places) <= 6:
        assert (open_, exposure.union(open_, perhaps)) == (every, some)
    else:
        assert exposure.without(open_, every, exposure.END[4]) == []
        assert exposure.without(some, exposure.union(open_, perhaps), exposure.END[4]) == []


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
