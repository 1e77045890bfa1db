# SPDX-License-Identifier: MIT
"""The account of every command on the pages: run, run only on Xen, not run and why, or not accounted for.

A command of a transcript counts as one, and so does each within a sentence, each doctest, and each example file that
a page shows: it was run when a command of a transcript applied it, and only on Xen when none did but one for Xen.
"""
from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path

from code_kinds import EXAMPLES, CodeBlock
from tests.transcripts import evidence
from tests.transcripts import page as pages
from tests.transcripts.evidence import Session


@dataclass
class Outcomes:
    """What one run of the tests has done.

    ``sessions`` ended as their pages say; ``skipped`` and ``failed`` are (page, packet filter) of those that did
    not. ``tests`` has the outcome of each test, by ``FILE::NAME`` without parameters, and of each page's doctests, by
    the page's file: ``passed`` only where all parts of it passed.
    """

    sessions: list[Session] = field(default_factory=list)
    skipped: set[tuple[str, str]] = field(default_factory=set)
    failed: set[tuple[str, str]] = field(default_factory=set)
    tests: dict[str, str] = field(default_factory=dict)


@dataclass
class Account:
    """How many commands were run and so on; ``reasons`` counts those not run, ``unaccounted`` names the rest."""

    counts: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    unaccounted: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        parts = [f"{self.counts['run']} run", f"{self.counts['xen']} run only on Xen",
                 f"{self.counts['not-run']} not run (reasons listed)"]
        parts += [f"{self.counts[what]} {what}" for what in ("skipped", "failed") if self.counts[what]]
        return f"commands on the pages: {', '.join(parts)}, {len(self.unaccounted)} unaccounted"


def account(guide: Mapping[str, Sequence[CodeBlock]], outcomes: Outcomes) -> Account:
    """Say of each command on the pages what became of it; ``guide`` has the blocks of each page."""
    result = Account()
    on_xen = {example for blocks in guide.values() for block in blocks if block.kind == "transcript" and block.xen
              for example in evidence.examples_of(block)}
    state = {id(block): _state(page, blocks, block, outcomes, on_xen)
             for page, blocks in guide.items() for block in blocks}
    mentioned: dict[str, list[str]] = {}
    for blocks in guide.values():
        for block in blocks:
            for simple in pages.simple_commands_of(block) if block.kind == "transcript" else ():
                mentioned.setdefault(simple, []).append(state[id(block)])
    for blocks in guide.values():
        for block in blocks:
            what = state[id(block)]
            if block.kind == "mention":
                what = _best(mentioned.get(pages.simple_commands(block.text)[0], []))
            number = _number(block)
            if what:
                result.counts[what] += number
            else:
                first = block.text.splitlines()[0]
                result.unaccounted += [f"{pages.where(block)}: {first}"] * number
            if what == "not-run":
                result.reasons[block.reason] += number
    return result


def _state(page: str, blocks: Sequence[CodeBlock], block: CodeBlock, outcomes: Outcomes, on_xen: Set[Path]) -> str:
    match block.kind:
        case "not-run":
            return "not-run"
        case "transcript" if block.xen:
            return "xen"
        case "transcript":
            return _worst(_of_session(page, blocks, block, name, outcomes)
                          for name in pages.filters_of(blocks, block))
        case "example" if tests := evidence.tests_of(block):
            return _of_tests(tests, outcomes)
        case "example":
            name = str(block.example.relative_to(EXAMPLES))
            sha256 = evidence.hash_of_file(block.example)
            if any(session.examples.get(name) == sha256 for session in outcomes.sessions):
                return "run"
            if block.example in on_xen:
                return "xen"
            return "skipped" if outcomes.skipped else "failed" if outcomes.failed else ""
        case "tested":
            return _of_tests(block.tests, outcomes)
        case "doctest":
            return _of_tests([f"source/{page}.md"], outcomes)
    return ""


def _of_session(page: str, blocks: Sequence[CodeBlock], block: CodeBlock, packet_filter: str,
                outcomes: Outcomes) -> str:
    if (page, packet_filter) in outcomes.skipped:
        return "skipped"
    if (page, packet_filter) in outcomes.failed:
        return "failed"
    return "run" if any(
        part.where == pages.where(block) for session in outcomes.sessions
        if (session.page, session.packet_filter) == (page, packet_filter) for part in session.blocks) else ""


def _of_tests(tests: Iterable[str], outcomes: Outcomes) -> str:
    said = [outcomes.tests.get(test, "xen" if test.startswith("tests/xen/") else "") for test in tests]
    return _worst("run" if outcome == "passed" else outcome for outcome in said)


def _best(states: Iterable[str]) -> str:
    found = set(states)
    return next((state for state in ("run", "xen", "failed", "skipped") if state in found), "")


def _worst(states: Iterable[str]) -> str:
    found = set(states)
    return next((state for state in ("", "failed", "skipped", "xen", "run") if state in found), "")


def _number(block: CodeBlock) -> int:
    if block.kind == "example" or block.inline:
        return 1
    return len(pages.PROMPT_IN_TEXT.findall(block.text)) or 1
