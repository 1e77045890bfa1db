# SPDX-License-Identifier: MIT
"""What pytest keeps of a run: the evidence in build/evidence.json, and the account of all commands at its end."""
from __future__ import annotations

from dataclasses import asdict
from datetime import date

import pytest

from tests import guide
from tests.transcripts import evidence
from tests.transcripts import page as pages
from tests.transcripts.accounts import Account, Outcomes, account
from tests.transcripts.evidence import Block, Evidence, Session
from tests.transcripts.page import ON_XEN

#: What a test of a page calls the properties of its report: the page and packet filter, and the session.
CASE, SESSION = "case", "session"
#: Where the tests on real Xen nodes are.
ON_NODES = "tests/xen/"
RANK = {"passed": 0, "skipped": 1, "failed": 2}


def property_of(session: Session) -> tuple[str, dict]:
    """A session as a property of a test's report, which goes from worker to worker as plain data."""
    return SESSION, asdict(session)


class KeepEvidence:
    """A plugin for the process that gets all reports. Of a run it is told whether all tests were to run but those on
    Xen nodes, or all of these."""

    def __init__(self, all_selected: bool, all_on_xen: bool = False):
        self.all_selected = all_selected
        self.all_on_xen = all_on_xen
        self.outcomes = Outcomes()
        self.cases: set[tuple[str, str]] = set()
        self.crashed: set[str] = set()
        self.account: Account | None = None
        self.remark = ""
        # The labs copy the examples when they start: what changes later is not what they have.
        self.surroundings = evidence.hash_of_surroundings()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        properties = dict(report.user_properties)
        name = report.nodeid.partition("[")[0]
        name = name if "::test_" in name else name.partition("::")[0]
        if report.when == "call" or report.outcome != "passed":
            self.outcomes.tests[name] = max(self.outcomes.tests.get(name, "passed"), report.outcome, key=RANK.get)
        if "::test_page[" in report.nodeid and report.outcome == "failed":
            self.crashed.add(report.nodeid.partition("[")[2].removesuffix("]"))
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
        """Keep the evidence; a whole run fails where it leaves a command unaccounted for."""
        if not self.cases and not self.crashed:
            return
        blocks = {page.name: guide.blocks(page) for page in guide.pages().values()}
        cases = set(pages.cases(blocks))
        # A worker that died has said nothing of its case but the name of the test.
        self.outcomes.failed |= {case for case in cases if "-".join(filter(None, case)) in self.crashed}
        self.cases |= self.outcomes.failed
        evidence.files_below.cache_clear()  # there may be others by now
        if evidence.hash_of_surroundings() != self.surroundings:
            self.remark = "examples were changed while the tests ran: no evidence of this run is kept"
            return
        whole = self.all_selected and self.cases >= {case for case in cases if case[1] not in ON_XEN}
        evidence.save(self._evidence(whole))
        if whole:
            self.account = account(blocks, self.outcomes)
            if self.account.unaccounted and session.exitstatus == pytest.ExitCode.OK:
                session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def _evidence(self, whole: bool) -> Evidence:
        """A whole run leaves its own evidence only, and that of Xen; a part of it adds to what there is.
        So does a whole run on Xen.

        A part may have run some of a test's parameters, so it can only end the record of a test.
        """
        kept = evidence.load()
        kept.sessions = [session for session in kept.sessions
                         if (session.page, session.packet_filter) not in self.cases - self.outcomes.skipped]
        if whole:
            kept.sessions = [session for session in kept.sessions if session.packet_filter in ON_XEN]
            kept.tests = {test: record for test, record in kept.tests.items() if test.startswith(ON_NODES)}
        kept.sessions += [session for session in self.outcomes.sessions
                          if (session.page, session.packet_filter) not in self.outcomes.failed]
        kept.sessions.sort(key=lambda session: (session.page, session.packet_filter))
        for test, outcome in sorted(self.outcomes.tests.items()):
            if outcome == "failed":
                kept.tests.pop(test, None)
            elif outcome == "passed" and (self.all_on_xen if test.startswith(ON_NODES) else whole):
                kept.tests[test] = [date.today().isoformat(), evidence.hash_of_test(test)]
        return kept

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.account is None and not self.remark:
            return
        terminalreporter.section("commands on the pages")
        if self.remark:
            terminalreporter.line(self.remark)
            return
        for reason, number in sorted(self.account.reasons.items()):
            terminalreporter.line(f"{number:4} not run: {reason}")
        for command in self.account.unaccounted:
            terminalreporter.line(f"unaccounted: {command}")
        terminalreporter.line(str(self.account))
