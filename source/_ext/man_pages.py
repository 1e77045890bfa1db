# SPDX-License-Identifier: MIT
"""What Sphinx 9.0's writer of man pages gets wrong or leaves to be done, each put right by a step of its own.

A man page is made of several documents, and several man pages are made of one guide. A reference from one to
another becomes ``name(7)``, the external links become numbered notes at the end, as in the man pages of git.
"""
from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.builders.manpage import ManualPageBuilder
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.typing import ExtensionMetadata

from tests.lab.topology import EXAMPLES

WIDTH = 80
"""Characters of a line of text, where it can be broken."""
AFTER_REFERENCES = 900
"""A priority that comes after the references are resolved."""


GROUPS = {"What to set": "Examples", "Check it": "Examples", "Undo it": "Examples", "An example": "Examples",
          "What is still open": "Caveats", "What it cannot know": "Caveats", "Synopsis": "Synopsis",
          "Options": "Options", "Exit status": "Exit status", "What the 2005 chapter said": "History"}
"""How the title of a section begins, and the section of a man page that it belongs to; else it is the description."""
ORDER = ("Synopsis", "Description", "Options", "Exit status", "Examples", "Files", "Caveats", "History", "Notes")


class ManPages(ManualPageBuilder):
    """Sphinx's builder, with a target for references: it gives every document the same, empty one."""

    def get_target_uri(self, docname: str, typ: str | None = None) -> str:
        """``man:NAME(SECTION)`` of the page that a document is on."""
        pages = {page[0]: page for page in self.config.man_pages}
        _, name, _, _, section = pages.get(docname, pages[self.config.root_doc])
        return f"man:{name}({section})"

    def get_relative_uri(self, from_: str, to: str, typ: str | None = None) -> str:
        """The target, or nothing for a reference within one page."""
        target = self.get_target_uri(to, typ)
        return "" if target == self.get_target_uri(from_) else target

    def finish(self) -> None:
        """Put right in the pages what the writer leaves untidy."""
        for _, name, _, _, section in self.config.man_pages:
            page = Path(self.outdir, f"{name}.{section}")
            if page.exists():
                page.write_text(tidy(page.read_text(encoding="utf-8")), encoding="utf-8")


def tidy(page: str) -> str:
    r"""A man page without what ``mandoc -T lint`` warns of: space below headings, and lines of text that are too long.

    The line at its top has the page's name on both sides, and the guide's between them. The guide's is left out of the
    page's, where all three would run into each other on 80 columns.

    >>> print(tidy(".SH A\n.sp\nShort.\n" + "word " * 20 + "\n.nf\n" + "x" * 99 + "\n.fi\n"))
    .SH A
    Short.
    word word word word word word word word word word word word word word word
    word word word word word
    .nf
    xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx
    .fi
    <BLANKLINE>
    """
    page = page.replace(".SH Copyright\n", ".SH COPYRIGHT\n")
    page = re.sub(r'(?m)^\.TH "SECURING-XEN-', '.TH "', page)
    page = re.sub(r"(?m)^(\.S[HS] .*\n(?:\.nr HY 0\n\.nh\n\.ad l\n)?)\.sp\n", r"\1", page)
    lines, filled = [], True
    for line in page.split("\n"):
        if re.match(r"\.(nf|EX|TS)\b", line):
            filled = False
        elif re.match(r"\.(fi|EE|TE)\b", line):
            filled = True
        if filled and _width(line) > WIDTH and not line.startswith((".", "'")):
            lines += _folded(line)
        else:
            lines.append(line)
    return "\n".join(lines)


def _width(line: str) -> int:
    r"""The characters of a line; those outside of ASCII are written as ``\[u2026]``."""
    return sum(1 if character.isascii() else 8 for character in line)


def _folded(line: str) -> Iterator[str]:
    """The line in parts that are short enough, none of which begins like a request."""
    part = ""
    for word in line.split(" "):
        if part and _width(f"{part} {word}") > WIDTH and not word.startswith((".", "'")) and word:
            yield part
            part = word
        else:
            part = f"{part} {word}" if part else word
    yield part


class _ManTransform(SphinxPostTransform):
    formats = ("man",)

    def page(self) -> nodes.section:
        """The section that is the whole page, with its title, which the writer leaves out."""
        return next(self.document.findall(nodes.section))


class LeaveOutOtherPages(_ManTransform):
    """A document with a man page of its own is no part of the page whose toctree names it."""

    default_priority = 1

    def run(self, **kwargs: object) -> None:
        own = {page[0] for page in self.config.man_pages}
        for file in list(self.document.findall(addnodes.start_of_file)):
            if file["docname"] in own:
                file.parent.remove(file)


class References(_ManTransform):
    """References within the guide: docutils 0.22's writer prints their address, which is none (``<#id>``).

    Of a numbered one Sphinx's writer prints the template (``Table %s``). A reference to another page says
    which page that is, as ``name(7)``; of the others the text is enough.
    """

    default_priority = AFTER_REFERENCES

    def run(self, **kwargs: object) -> None:
        for reference in list(self.document.findall(nodes.reference)):
            target = reference.get("refuri", "").partition("#")[0]
            if target.startswith("man:"):
                name = addnodes.manpage("", target.removeprefix("man:"))
                reference.replace_self([*reference.children, nodes.Text(" ("), name, nodes.Text(")")])
            elif not target:
                reference.replace_self(reference.children)


class LinksAsNotes(_ManTransform):
    """External links as numbered notes: docutils 0.22's writer puts each address into its sentence.

    ``man_show_urls`` has no say in that, since docutils replaces the method of Sphinx's writer that asks it.
    """

    default_priority = AFTER_REFERENCES

    def run(self, **kwargs: object) -> None:
        numbers: dict[str, int] = {}
        for reference in list(self.document.findall(nodes.reference)):
            address = reference.get("refuri", "")
            if not address.startswith(("http:", "https:")):
                continue
            if reference.astext() == address:
                continue
            number = numbers.setdefault(address, len(numbers) + 1)
            reference.replace_self([*reference.children, nodes.Text(f" [{number}]")])
        if numbers:
            notes = nodes.enumerated_list(enumtype="arabic")
            for address in numbers:
                link = nodes.reference("", address, refuri=address)
                notes += nodes.list_item("", nodes.paragraph("", "", link))
            self.page().append(_section("Notes", notes))


class DescriptionSection(_ManTransform):
    """Text before the first heading: the writer prints it below NAME, where it is not expected."""

    default_priority = AFTER_REFERENCES

    def run(self, **kwargs: object) -> None:
        page = self.page()
        text = [child for child in page.children[1:]
                if not isinstance(child, (nodes.section, addnodes.start_of_file))]
        if any(child.astext() for child in text):
            for child in text:
                page.remove(child)
            page.insert(1, _section("Description", *text))


class Shape(_ManTransform):
    """The sections that readers of man pages look for, in their order; those of the guide stand within them."""

    default_priority = AFTER_REFERENCES + 5

    def run(self, **kwargs: object) -> None:
        page = self.page()
        if self.document.settings.title == self.config.man_pages[0][1]:
            self._name_examples(page)
            return
        groups: dict[str, nodes.section] = {}
        for section in [child for child in page.children[1:] if isinstance(child, nodes.section)]:
            title = section[0].astext()
            if title in ("Notes", "Description"):
                groups[title] = section
                continue
            name = next((name for start, name in GROUPS.items() if title.startswith(start)), "Description")
            if name not in ("Description", "Examples"):
                section[0] = nodes.title("", name)
                groups[name] = section
                continue
            groups.setdefault(name, _section(name)).append(section)
        if len(files := self._files()[1]):
            groups["Files"] = _section("Files", files)
        for child in page.children[1:]:
            if isinstance(child, nodes.section):
                page.remove(child)
        page += [groups[name] for name in ORDER if name in groups]

    def _name_examples(self, page: nodes.section) -> None:
        """The whole guide's page has a section for each page; the examples get their name, and a list of the files."""
        for section in page.children[1:]:
            if isinstance(section, nodes.section) and section[0].astext() == "The examples":
                section[0] = nodes.title("", "Examples")
                page.insert(page.index(section) + 1, self._files())

    def _files(self) -> nodes.section:
        """The example files that the page shows, and what the first sentence in each says of it."""
        found = {}
        for block in self.document.findall(nodes.literal_block):
            file = Path(block.get("source", "")).resolve()
            if file.is_relative_to(EXAMPLES):
                comment = " ".join(line.lstrip("# ") for line in block.astext().splitlines() if line.startswith("# "))
                found[str(file.relative_to(EXAMPLES.parent))] = re.split(r"(?<=[.:]) ", comment)[0].rstrip(":.") + "."
        return _section("Files", nodes.definition_list("", *(
            nodes.definition_list_item("", nodes.term("", nodes.Text(name)),
                                       nodes.definition("", nodes.paragraph("", nodes.Text(what))))
            for name, what in found.items())))


class SeeAlsoSection(_ManTransform):
    """The other man pages of the guide."""

    default_priority = AFTER_REFERENCES + 10

    def run(self, **kwargs: object) -> None:
        names = [f"{name}({section})" for _, name, _, _, section in self.config.man_pages
                 if name != self.document.settings.title]
        line = nodes.paragraph()
        for name in names:
            line += [nodes.Text(", ")] if len(line) else []
            line += addnodes.manpage("", name)
        self.page().append(_section("See also", line))


class NoHyphens(_ManTransform):
    """The writer lets words be hyphenated and lines be justified, which spoils commands, paths and names."""

    default_priority = AFTER_REFERENCES + 20

    def run(self, **kwargs: object) -> None:
        first = next(section for section in self.document.findall(nodes.section) if section is not self.page())
        first.insert(1, nodes.raw("", ".nr HY 0\n.nh\n.ad l\n", format="manpage"))


class SpaceBelowTables(_ManTransform):
    """The bottom line of a table takes the place of the empty line that the writer puts below it."""

    default_priority = AFTER_REFERENCES

    def run(self, **kwargs: object) -> None:
        for table in list(self.document.findall(nodes.table)):
            table.parent.insert(table.parent.index(table) + 1, nodes.raw("", ".sp\n", format="manpage"))


class TitlesOfTables(_ManTransform):
    """The writer takes the title of a table for that of the page, and prints it on the NAME line."""

    default_priority = AFTER_REFERENCES

    def run(self, **kwargs: object) -> None:
        for table in list(self.document.findall(nodes.table)):
            if isinstance(table[0], nodes.title):
                title = table.pop(0)
                where = table.parent.index(table)
                table.parent.insert(where, nodes.paragraph("", "", nodes.strong("", title.astext())))


class CaptionsOfFigures(_ManTransform):
    """The writer ends no line after a caption, so that the macro that follows it is printed."""

    default_priority = AFTER_REFERENCES

    def run(self, **kwargs: object) -> None:
        for caption in list(self.document.findall(nodes.caption)):
            if isinstance(caption.parent, nodes.figure):
                caption.replace_self(nodes.paragraph("", "", *caption.children))


def _section(title: str, *content: nodes.Node) -> nodes.section:
    return nodes.section("", nodes.title("", title), *content)


def setup(app: Sphinx) -> ExtensionMetadata:
    app.add_builder(ManPages, override=True)
    for transform in (LeaveOutOtherPages, References, LinksAsNotes, DescriptionSection, Shape, SeeAlsoSection,
                      NoHyphens, SpaceBelowTables, TitlesOfTables, CaptionsOfFigures):
        app.add_post_transform(transform)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
