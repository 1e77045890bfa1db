# SPDX-License-Identifier: MIT
"""What pytest keeps of a run: the evidence in build/evidence.json, and the account of all commands at its end."""
from __future__ import annotations

from dataclasses import asdict
from datetime import date

import pytest

from tests import guide
from tests.transcripts import evidence
from tests.transcripts.accounts import Account, Outcomes, account
from tests.transcripts.evidence import Block, Evidence, Session
from tests.transcripts.page import ON_XEN

#: What a test of a page calls the properties of its report: the page and packet filter, and the session.
CASE, SESSION = "case", "session"
RANK = {"passed": 0, "skipped": 1, "failed": 2}


def property_of(session: Session) -> tuple[str, dict]:
    """A session as a property of a test's report, which goes from worker to worker as plain data."""
    return SESSION, asdict(session)


class KeepEvidence:
    """A plugin for the process that gets all reports."""

    def __init__(self, config: pytest.Config):
        self.config = config
        self.outcomes = Outcomes()
        self.cases: set[tuple[str, str]] = set()
        self.account: Account | None = None

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        properties = dict(report.user_properties)
        name = report.nodeid.partition("[")[0]
        name = name if "::test_" in name else name.partition("::")[0]
        if report.when == "call" or report.outcome != "passed":
            self.outcomes.tests[name] = max(self.outcomes.tests.get(name, "passed"), report.outcome, key=RANK.get)
        if CASE not in properties:
            return
        case = tuple(properties[CASE])
        self.cases.add(case)
        if report.outcome == "skipped":
            self.outcomes.skipped.add(case)
        elif report.outcome == "failed":
            self.outcomes.failed.add(case)
        elif SESSION in properties and report.when == "call":
            kept = properties[SESSION]
            self.outcomes.sessions.append(Session(**kept | {"blocks": [Block(**part) for part in kept["blocks"]]}))

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Keep the evidence; the run fails where it leaves a command unaccounted for."""
        if not self.cases:
            return
        blocks = {page.name: guide.blocks(page) for page in guide.pages().values()}
        whole = self.cases == {case for case in evidence.cases(blocks) if case[1] not in ON_XEN}
        evidence.save(self._evidence(whole))
        named = {test for page in blocks.values() for block in page for test in block.tests}
        if whole and named <= set(self.outcomes.tests):
            self.account = account(blocks, self.outcomes)
            if self.account.unaccounted and session.exitstatus == pytest.ExitCode.OK:
                session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def _evidence(self, whole: bool) -> Evidence:
        """A whole run leaves its own evidence only, and that of Xen; a part of it adds to what there is."""
        kept = evidence.load()
        kept.sessions = [session for session in kept.sessions
                         if (session.page, session.packet_filter) not in self.cases - self.outcomes.skipped]
        if whole:
            kept.sessions = [session for session in kept.sessions if session.packet_filter in ON_XEN]
            kept.tests = {}
        kept.sessions += self.outcomes.sessions
        kept.sessions.sort(key=lambda session: (session.page, session.packet_filter))
        for test, outcome in sorted(self.outcomes.tests.items()):
            kept.tests.pop(test, None)
            if outcome == "passed":
                kept.tests[test] = date.today().isoformat()
        return kept

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.account is None:
            return
        terminalreporter.section("commands on the pages")
        for reason, number in sorted(self.account.reasons.items()):
            terminalreporter.line(f"{number:4} not run: {reason}")
        for command in self.account.unaccounted:
            terminalreporter.line(f"unaccounted: {command}")
        terminalreporter.line(str(self.account))
