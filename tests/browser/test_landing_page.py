# SPDX-License-Identifier: MIT
"""The three questions of the landing page, answered by somebody whose browser runs no scripts."""
from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import NARROW


@pytest.mark.parametrize(("question", "answer", "scenario"), [
    (1, "Yes", "isolated-management-network"),
    (2, "Yes", "subnet-behind-a-firewall"),
    (3, "Yes", "untrusted-subnet-wireguard"),
    (3, "No", "untrusted-subnet"),
])
def test_each_answer_leads_to_its_scenario(visit, question: int, answer: str, scenario: str):
    page = visit(java_script_enabled=False, viewport=NARROW).open()
    item = page.locator("#which-scenario ol > li").nth(question - 1)
    expect(item.locator("strong")).to_contain_text("?")
    item.locator("li").filter(has_text=f"{answer}:").get_by_role("link").first.click()
    assert page.url.partition("#")[0].endswith(f"scenarios/{scenario}.html")


def test_every_other_answer_leads_to_the_next_question(visit):
    page = visit(java_script_enabled=False).open()
    questions = page.locator("#which-scenario ol > li")
    assert questions.count() == 3
    for question in questions.all()[:2]:
        expect(question.locator("li").nth(1)).to_have_text("No: the next question.")
