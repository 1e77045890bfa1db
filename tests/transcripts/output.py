# SPDX-License-Identifier: MIT
"""Comparing what a command printed with what the page shows."""
from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Sequence

WITHIN_A_LINE = "[..]"
LINES = "..."


def says_nothing(expected: Sequence[str]) -> bool:
    """Whether an output elides, and has not a word beside that."""
    elided = any(line == LINES or WITHIN_A_LINE in line for line in expected)
    return elided and not re.search(r"\w", "".join(expected).replace(WITHIN_A_LINE, ""))


def same(expected: Sequence[str], actual: str) -> bool:
    """Whether the output is what the page shows, its elisions filled in."""
    pattern = "".join(r"(?:.*\n)*" if line == LINES else _pattern(line) + r"\n" for line in _tidy(expected))
    return re.fullmatch(pattern, "".join(line + "\n" for line in _tidy(actual.splitlines()))) is not None


def difference(expected: Sequence[str], actual: str) -> str:
    """Both outputs in one: ``-`` is only on the page, ``+`` was only printed, and the rest is the same.

    What an elision stands for counts as the same, unless the elision stands alone on its line.
    """
    page = _tidy(expected)
    printed = [_as_on_the_page(line, page) for line in _tidy(actual.splitlines())]
    lines = []
    for _, a, b, c, d in difflib.SequenceMatcher(None, page, printed, autojunk=False).get_opcodes():
        if page[a:b] == printed[c:d] or page[a:b] == [LINES]:
            lines += [f" {line}" for line in page[a:b]]
        else:
            lines += [f"-{line}" for line in page[a:b]] + [f"+{line}" for line in printed[c:d]]
    return "\n".join(lines)


def updated(expected: Sequence[str], actual: str) -> list[str]:
    """What the page is to show for an output: its own lines as far as they still match, elisions included."""
    if same(expected, actual):
        return list(expected)
    page = _tidy(expected)
    printed = _tidy(actual.splitlines())
    lines = []
    matched = [_as_on_the_page(line, page) for line in printed]
    for _, a, b, c, d in difflib.SequenceMatcher(None, page, matched, autojunk=False).get_opcodes():
        lines += page[a:b] if page[a:b] == matched[c:d] else _around(
            LINES, page[a:b], printed[c:d], _lines_updated)
    return printed if says_nothing(lines) or not same(lines, actual) else lines


def _around(elision: str, page: list[str], printed: list[str],
            change: Callable[[list[str], list[str]], list[str]]) -> list[str]:
    """Change what stands before and behind an elision, and let it stand for the rest, if there is just one."""
    if page.count(elision) == 1 and len(page) - 1 <= len(printed):
        first = page.index(elision)
        end = len(printed) - (len(page) - 1 - first)
        return [*change(page[:first], printed[:first]), elision, *change(page[first + 1:], printed[end:])]
    return change(page, printed)


def _lines_updated(page: list[str], printed: list[str]) -> list[str]:
    """Lines that have changed."""
    if len(page) != len(printed):
        return printed
    return [_line_updated(shown, line) for shown, line in zip(page, printed, strict=True)]


def _line_updated(page: str, printed: str) -> str:
    """A line that has changed, with the elisions whose neighbours are still there."""
    words, new = _WORD.findall(page), _WORD.findall(printed)
    line = ""
    for _, a, b, c, d in difflib.SequenceMatcher(None, words, new, autojunk=False).get_opcodes():
        line += "".join(_around(WITHIN_A_LINE, words[a:b], new[c:d], lambda _, there: there))
    return line if re.fullmatch(_pattern(line), printed) and not says_nothing([line]) else printed


_WORD = re.compile(r"\[\.\.\]|\w+|\s+|.")


def _as_on_the_page(line: str, page: list[str]) -> str:
    telling = (shown for shown in page if not says_nothing([shown]))
    return next((shown for shown in telling if re.fullmatch(_pattern(shown), line)), line)


def _pattern(line: str) -> str:
    return ".*".join(map(re.escape, line.split(WITHIN_A_LINE)))


def _tidy(lines: Sequence[str]) -> list[str]:
    """Without what nobody sees: tabs are spaces, and nothing is blank at an end."""
    tidy = [line.expandtabs().rstrip() for line in lines]
    while tidy and not tidy[-1]:
        tidy.pop()
    return tidy
