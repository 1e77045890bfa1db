# SPDX-License-Identifier: MIT
"""What the copy button puts on the clipboard: commands, and nothing else."""
from __future__ import annotations

import pytest
from playwright.sync_api import Locator, Page

from code_kinds import CodeBlock
from one_host import several_hosts
from tests import guide
from tests.transcripts.page import commands

CLIPBOARD = ["clipboard-read", "clipboard-write"]


def copy(page: Page, block: Locator) -> str:
    """Click the button of a block, and read the clipboard once it has changed."""
    page.evaluate("navigator.clipboard.writeText('nothing yet')")
    block.hover()
    block.locator("button.copybtn").click()
    page.wait_for_function("async () => await navigator.clipboard.readText() !== 'nothing yet'")
    return page.evaluate("navigator.clipboard.readText()")


def expected(block: CodeBlock) -> str:
    """The commands of a transcript, or the whole file."""
    if block.kind == "transcript":
        return "\n".join(command.text for command in commands(block))
    return block.text


@pytest.mark.parametrize("name", [name for name in guide.pages() if name.startswith("scenarios/")])
def test_every_block_of_a_scenario_is_copied_without_prompts_and_output(visit, name: str):
    blocks = [block for block in guide.blocks(guide.pages()[name])
              if not block.inline and block.kind != "not-run" and not several_hosts(block.text)]
    page = visit(permissions=CLIPBOARD).open(f"{name}.html")
    texts = page.evaluate("""() => {
        const copied = [];
        document.addEventListener('copy', ({ target }) => copied.push(target.value));
        for (const button of document.querySelectorAll('article button.copybtn')) {
            const before = button.closest('[class*=highlight-]').previousElementSibling;
            if (!before?.matches('p.not-run')) button.click();
        }
        return copied;
    }""")
    assert texts == [expected(block).rstrip("\n") for block in blocks]
    transcript = page.locator("p:not(.not-run) + .highlight-console:not(.several-hosts):visible").first
    shown = transcript.locator("pre").text_content().strip()
    block, = {block.text: block for block in blocks if block.text.strip() == shown}.values()
    assert copy(page, transcript) == expected(block).rstrip("\n")


def test_copied_text_has_the_readers_values(visit):
    page = visit(permissions=CLIPBOARD).open("scenarios/isolated-management-network.html#values:relocation_port=8888")
    text = copy(page, page.locator("article .highlight-console").first)
    assert "ss -Hltn sport = :8888" in text and "8002" not in text and "link" not in text
