# SPDX-License-Identifier: MIT
"""A LaTeX manual of as many lines as are asked for, to measure with; always the same one."""
from __future__ import annotations

import random

WORDS = "domain guest network interface memory device block bridge node kernel console policy address".split()


def manual(lines: int) -> str:
    """A manual of about ``lines`` lines, made of what manuals of 2005 are made of."""
    chance = random.Random(lines)

    def words(count: int) -> str:
        return " ".join(chance.choice(WORDS) for _ in range(count))

    def paragraph() -> str:
        return "\n".join(
            f"{words(4)} {{\\tt dom0\\_{chance.choice(WORDS)}}} \\emph{{{words(2)}}}, {words(3)} \\xend\\ {words(2)}."
            for _ in range(5)
        )

    def items() -> str:
        lines = "\n".join(f"\\item [{words(1)}] {words(9)}\n  {words(8)}" for _ in range(4))
        return f"\\begin{{description}}\n{lines}\n\\end{{description}}"

    def code() -> str:
        return "\\begin{verbatim}\n" + "".join(f"# xm {words(3)}\n" for _ in range(4)) + "\\end{verbatim}"

    def table() -> str:
        rows = "\n".join(f"{words(2)} & {words(4)} \\\\" for _ in range(4))
        return f"\\begin{{tabular}}{{ll}}\n\\hline\n{rows}\n\\hline\n\\end{{tabular}}"

    parts = ["\\documentclass{report}\n\\def\\xend{{xend}\\xspace}\n\\begin{document}\n\\chapter{Manual}"]
    length = 4
    number = 0
    while length < lines:
        if number % 6 == 0:
            part = f"\\section{{{words(3)}}}\n\\label{{s{number}}}\nSee Section~\\ref{{s{number - number % 60}}}."
        else:
            part = chance.choice([paragraph, paragraph, items, code, table])()
        parts.append(part)
        length += part.count("\n") + 2
        number += 1
    return "\n\n".join([*parts, "\\end{document}\n"])
