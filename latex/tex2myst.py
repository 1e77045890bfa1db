# SPDX-License-Identifier: MIT
"""Convert a LaTeX manual to MyST pages: ``python latex/tex2myst.py INPUT.tex OUT/``.

OUT/index.md is the root; each section is a page of its own, and each verbatim
block is a file under OUT/code/ that its page shows with ``literalinclude``. The
pages need Sphinx and myst_parser, no MyST extension. OUT is written whole or not
at all, and only where there is nothing that this program did not write.

The text is kept word for word and code byte for byte (line ends become a line
feed), except that ``-{}-`` in verbatim becomes ``--``: it is how text writes two
hyphens that TeX must not join, and it is wrong in verbatim. Each such repair and
each FIXME is reported on stderr as ``file:line: ...``. What is not in the tables
below, which say what becomes what, is an error: ``file:line:column: ...``, exit
status 2, nothing written.
"""
from __future__ import annotations

import argparse
import hashlib
import os
import re
import sys
import tempfile
import textwrap
import unicodedata
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pylatexenc import latexwalker, macrospec

# ---------------------------------------------------------------------------------------------
# What a document is, once read. All text is MyST; lines are lines of the LaTeX file, from 1.


@dataclass
class Paragraph:
    text: str
    line: int


@dataclass
class NumberedList:
    items: list[list[Block]]
    line: int


@dataclass
class Code:
    """A verbatim block: ``file`` is its path in the output, ``line`` is that of its first line of code."""

    text: str
    file: str
    language: str
    line: int


Block = Paragraph | NumberedList | Code


@dataclass
class Section:
    """A heading and what stands under it; ``level`` is the place of its macro in HEADINGS."""

    title: str
    slug: str
    level: int
    line: int
    blocks: list[Block] = field(default_factory=list)
    sections: list[Section] = field(default_factory=list)

    def walk(self) -> Iterator[Section]:
        """This section and all below it, in the order of the text."""
        yield self
        for section in self.sections:
            yield from section.walk()


@dataclass
class Document:
    """The root section, and what there is to report: one ``file:line: ...`` each."""

    root: Section
    reports: list[str]


class TexError(ValueError):
    """Input that is not converted; the message is one line, ``file:line:column: ...``."""


class OutputError(Exception):
    """An output folder that is not written to; the message is one line."""


# ---------------------------------------------------------------------------------------------
# What becomes what. A string of argument signs is pylatexenc's: "{" needed, "[" optional, "*" a star.

HEADINGS = ("chapter", "section", "subsection")
PAGE = "section"  # headings down to this one begin a page

# Told to the typesetter only, so dropped; with the arguments that go with it.
LAYOUT = {"documentclass": "[{", "usepackage": "[{"}

# A character that has a meaning in LaTeX, meant as itself: \% and so on.
CHARACTERS = "%&#$_{} "

# What TeX puts in the place of these.
LIGATURES = {
    "``": "\N{LEFT DOUBLE QUOTATION MARK}",
    "''": "\N{RIGHT DOUBLE QUOTATION MARK}",
    "`": "\N{LEFT SINGLE QUOTATION MARK}",
    "'": "\N{RIGHT SINGLE QUOTATION MARK}",
    "---": "\N{EM DASH}",
    "--": "\N{EN DASH}",
    "~": "\N{NO-BREAK SPACE}",
}


def _strong(reader: Reader, node: latexwalker.LatexMacroNode) -> str:
    return reader.emphasis("**", node)


# Macros within a paragraph: arguments, and what makes MyST of the macro.
INLINE: dict[str, tuple[str, Callable[[Reader, latexwalker.LatexMacroNode], str]]] = {
    "textbf": ("{", _strong),
}


def _enumerate(reader: Reader, node: latexwalker.LatexEnvironmentNode) -> NumberedList:
    return NumberedList(reader.items(node), reader.line(node.pos))


def _verbatim(reader: Reader, node: latexwalker.LatexEnvironmentNode) -> Code:
    text = node.nodeargd.verbatim_text
    start = node.pos + len(r"\begin{verbatim}")
    if text.startswith("\n"):
        text, start = text[1:], start + 1
    return reader.code(text, start)


# Environments that are blocks of their own: arguments, and what makes the block.
ENVIRONMENTS: dict[str, tuple[str, Callable[[Reader, latexwalker.LatexEnvironmentNode], Block]]] = {
    "enumerate": ("", _enumerate),
    "verbatim": ("verbatim", _verbatim),
}

# Code that looks like this gets this suffix and this language; the first that fits.
LANGUAGES = ((re.compile(r"^(# |iptables )", re.MULTILINE), ".sh", "sh"),)
NO_LANGUAGE = (".txt", "text")


# ---------------------------------------------------------------------------------------------
# Reading

# Stands at both ends of emphasised text until its neighbours are known; see _finish.
_EDGE = "\0"

_BLANK_LINE = re.compile(r"\n[ \t]*\n[ \t\n]*")


def _arguments(signs: str) -> macrospec.MacroStandardArgsParser:
    if signs == "verbatim":
        return macrospec.VerbatimArgsParser("verbatim-environment")
    return macrospec.MacroStandardArgsParser(signs)


def _latex_context() -> macrospec.LatexContextDb:
    """What the parser needs to know of the tables: which macro takes which arguments."""
    macros = {name: "*[{" for name in HEADINGS} | LAYOUT | {"item": "["}
    macros |= {name: signs for name, (signs, _) in INLINE.items()}
    context = macrospec.LatexContextDb()
    context.add_context_category(
        "tex2myst",
        macros=[macrospec.MacroSpec(name, _arguments(signs)) for name, signs in macros.items()],
        environments=[
            macrospec.EnvironmentSpec(name, _arguments(signs)) for name, (signs, _) in ENVIRONMENTS.items()
        ],
        specials=[macrospec.SpecialsSpec(characters) for characters in LIGATURES],
    )
    return context


def slug(text: str) -> str:
    """A name for files and labels: the letters and digits of ``text``, in lower case, joined by hyphens."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return "-".join(re.findall(r"[a-z0-9]+", plain)) or "section"


def read(path: Path | str) -> Document:
    """Read a LaTeX file.

    Raises OSError if it cannot be opened, TexError if it is not UTF-8, is not
    LaTeX, or holds what the tables do not name.
    """
    try:
        source = Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        column = error.start - error.object.rfind(b"\n", 0, error.start)
        raise TexError(f"{path}:{line}:{column}: not UTF-8") from None
    return parse(source, str(path))


def parse(source: str, name: str) -> Document:
    """Read LaTeX text; ``name`` is the file it came from. Raises TexError as read() does."""
    reader = Reader(source, name)
    try:
        root = reader.outline()
    except RecursionError:
        raise TexError(f"{name}:1:1: groups or environments are nested too deeply") from None
    return Document(root, reader.reports)


class Reader:
    """One file being read: its text, where we are, and what there is to report."""

    def __init__(self, source: str, name: str) -> None:
        self.source = source
        self.name = name
        self.reports: list[str] = []
        self._lines = [0, *(match.end() for match in re.finditer("\n", source))]
        self._slugs = {"index"}
        self._section = Section("", "", 0, 0)
        self._code_blocks = 0
        self._emphasis: list[str] = []

    # Places and messages

    def line(self, position: int) -> int:
        return bisect_right(self._lines, position)

    def fail(self, position: int, message: str) -> TexError:
        line = self.line(position)
        return TexError(f"{self.name}:{line}:{position - self._lines[line - 1] + 1}: {message}")

    def report(self, position: int, message: str) -> None:
        """Report what stands at ``position``, with the line as it is in the file."""
        line = self.line(position)
        end = self.source.find("\n", position)
        text = self.source[self._lines[line - 1] : end if end >= 0 else None]
        self.reports.append(f"{self.name}:{line}: {message}: {text.strip()}")

    # Blocks

    def outline(self) -> Section:
        """The whole file as a tree of sections.

        A single heading that holds all others is the root. Otherwise the root
        gets the file's name as its title.
        """
        stem = Path(self.name).stem
        root = Section(_escape(stem), "index", -1, 1)
        path, pending = [root], []
        self._section = root
        for node in self._nodes():
            if node.isNodeType(latexwalker.LatexMacroNode) and node.macroname in HEADINGS:
                path[-1].blocks += self.blocks(pending)
                pending = []
                section = self._heading(node)
                while path[-1].level >= section.level:
                    path.pop()
                path[-1].sections.append(section)
                path.append(section)
                self._section, self._code_blocks = section, 0
            else:
                pending.append(node)
        path[-1].blocks += self.blocks(pending)
        return root.sections[0] if len(root.sections) == 1 and not root.blocks else root

    def _nodes(self) -> Iterator[latexwalker.LatexNode]:
        """The nodes of the file, with those of the document environment in its place."""
        if "\0" in self.source:
            raise self.fail(self.source.index("\0"), "a NUL character")
        walker = latexwalker.LatexWalker(self.source, latex_context=_latex_context(), tolerant_parsing=False)
        try:
            nodes, start, length = walker.get_latex_nodes()
        except latexwalker.LatexWalkerParseError as error:
            opened = "".join(f" ({what} in line {line})" for what, _, line, _ in error.open_contexts[:1])
            raise self.fail(error.pos, f"{error.msg}{opened}") from None
        if start + length < len(self.source):  # the parser ends without a word at a lone backslash
            raise self.fail(start + length, "a backslash at the end of the file")
        for node in nodes:
            if node.isNodeType(latexwalker.LatexEnvironmentNode) and node.environmentname == "document":
                yield from node.nodelist
            else:
                yield node

    def _heading(self, node: latexwalker.LatexMacroNode) -> Section:
        _, short, title = node.nodeargd.argnlist
        if short is not None:
            raise self.fail(node.pos, rf"\{node.macroname} with a short title")
        text = _finish(self.inline([title])).replace("\n", " ")
        if not text:
            raise self.fail(node.pos, rf"\{node.macroname} without a title")
        name = base = slug(text)
        number = 1
        while name in self._slugs:
            number += 1
            name = f"{base}-{number}"
        self._slugs.add(name)
        return Section(text, name, HEADINGS.index(node.macroname), self.line(node.pos))

    def blocks(self, nodes: Sequence[latexwalker.LatexNode]) -> list[Block]:
        """Split nodes into blocks: a blank line or an environment ends a paragraph."""
        blocks: list[Block] = []
        words: list[str] = []
        start = 0  # where the first word of the paragraph stands

        def end_paragraph() -> None:
            text = _finish("".join(words))
            if text:
                blocks.append(Paragraph(text, self.line(start)))
            words.clear()

        for node in nodes:
            if node.isNodeType(latexwalker.LatexEnvironmentNode):
                end_paragraph()
                if node.environmentname not in ENVIRONMENTS:
                    raise self.fail(node.pos, f"unknown environment {node.environmentname}")
                _, handler = ENVIRONMENTS[node.environmentname]
                blocks.append(handler(self, node))
                continue
            for position, piece in self._split(node):
                if piece is None:
                    end_paragraph()
                elif words or piece.strip():
                    if not words:
                        start = position + len(piece) - len(piece.lstrip())
                    words.append(piece)
        end_paragraph()
        return blocks

    def _split(self, node: latexwalker.LatexNode) -> Iterator[tuple[int, str | None]]:
        """The MyST of a node in pieces with their places; None is a blank line."""
        if not node.isNodeType(latexwalker.LatexCharsNode):
            yield node.pos, self.inline([node])
            return
        start = 0
        for blank in _BLANK_LINE.finditer(node.chars):
            yield node.pos + start, self._text(node.pos + start, node.chars[start : blank.start()])
            yield node.pos + blank.start(), None
            start = blank.end()
        yield node.pos + start, self._text(node.pos + start, node.chars[start:])

    def items(self, node: latexwalker.LatexEnvironmentNode) -> list[list[Block]]:
        """The blocks of each \\item of a list."""
        items: list[list[latexwalker.LatexNode]] = []
        for child in node.nodelist:
            if child.isNodeType(latexwalker.LatexMacroNode) and child.macroname == "item":
                if child.nodeargd.argnlist[0] is not None:
                    raise self.fail(child.pos, rf"\item with a label in {node.environmentname}")
                items.append([])
            elif items:
                items[-1].append(child)
            elif self.blocks([child]):
                raise self.fail(child.pos, rf"text before the first \item of {node.environmentname}")
        return [self.blocks(nodes) for nodes in items]

    def code(self, text: str, start: int) -> Code:
        """A block of code that begins at ``start``, repaired and with a file of its own."""
        for match in re.finditer(r"-\{\}(?=-)", text):
            self.report(start + match.start(), "repaired, -{}- is --")
        self._find_fixme(start, text)
        self._code_blocks += 1
        code = re.sub(r"-\{\}(?=-)", "-", text)
        suffix, language = next((rest for pattern, *rest in LANGUAGES if pattern.search(code)), NO_LANGUAGE)
        file = f"code/{self._section.slug}-{self._code_blocks}{suffix}"
        return Code(code, file, language, self.line(start))

    # Text

    def inline(self, nodes: Sequence[latexwalker.LatexNode]) -> str:
        """The MyST of nodes within a paragraph."""
        return "".join(self._inline(node) for node in nodes)

    def _inline(self, node: latexwalker.LatexNode) -> str:
        if node.isNodeType(latexwalker.LatexCharsNode):
            return self._text(node.pos, node.chars)
        if node.isNodeType(latexwalker.LatexGroupNode):
            return self.inline(node.nodelist)
        if node.isNodeType(latexwalker.LatexCommentNode):
            return ""
        if node.isNodeType(latexwalker.LatexSpecialsNode):
            return LIGATURES[node.specials_chars]
        if node.isNodeType(latexwalker.LatexMacroNode):
            if node.macroname in INLINE:
                return INLINE[node.macroname][1](self, node)
            if node.macroname in CHARACTERS:
                return _escape(node.macroname)
            if node.macroname in LAYOUT:
                return ""
            if node.macroname == "item" or node.macroname in HEADINGS:
                raise self.fail(node.pos, rf"\{node.macroname} where it cannot stand")
            raise self.fail(node.pos, rf"unknown macro \{node.macroname}")
        if node.isNodeType(latexwalker.LatexEnvironmentNode):
            raise self.fail(node.pos, f"environment {node.environmentname} where it cannot stand")
        raise self.fail(node.pos, "mathematics")

    def _text(self, position: int, text: str) -> str:
        self._find_fixme(position, text)
        return _escape(text)

    def _find_fixme(self, position: int, text: str) -> None:
        for match in re.finditer("FIXME", text):
            self.report(position + match.start(), "open question")

    def emphasis(self, sign: str, node: latexwalker.LatexMacroNode) -> str:
        """The argument of a macro between two of ``sign``; a blank at its ends goes outside."""
        self._emphasis.append(sign)
        text = self.inline(node.nodeargd.argnlist)
        self._emphasis.pop()
        bare = text.strip()
        if not bare or sign in self._emphasis:
            return text
        before, after = text.split(bare)
        return f"{before}{_EDGE}{sign}{bare}{sign}{_EDGE}{after}"


def _escape(text: str) -> str:
    """Text as MyST that means the same text, wherever in a line it stands; see _finish for line starts."""
    return re.sub(r"([\\`*_\[<>{$&|~#])", r"\\\1", text)


def _finish(text: str) -> str:
    """Put a paragraph's pieces in order: line by line, with what only the neighbours can tell.

    Emphasis does not end between a sign and a letter (``**a.**b``), nor begin
    there; an empty comment between the two makes it do so. A line must not begin
    like a list, a heading, a target or a comment.
    """
    comment = "<!-- -->"
    text = text.replace(_EDGE * 2, comment)
    text = re.sub(rf"(?<=[^\W_]){_EDGE}(?=\*\*[\W_])|(?<=[\W_]\*\*){_EDGE}(?=[^\W_])", comment, text)
    lines = []
    for raw in text.replace(_EDGE, "").split("\n"):
        line = re.sub(r"[ \t]+", " ", raw).strip(" ")
        line = re.sub(r"^([-+:%=]|\((?=.*\)=$))", r"\\\1", line)
        line = re.sub(r"^(\d+)([.)])(?= |$)", r"\1\\\2", line)
        if line:
            lines.append(line)
    return "\n".join(lines)


# ---------------------------------------------------------------------------------------------
# Writing


def render(document: Document) -> dict[str, str]:
    """The files of the output: path to content."""
    files: dict[str, str] = {}
    _render_page(document.root, "index", files)
    return files


def _render_page(section: Section, name: str, files: dict[str, str]) -> None:
    pages: list[Section] = []
    parts = _render_section(section, 1, pages, files)
    if pages:
        parts.append("\n".join(["```{toctree}", *(page.slug for page in pages), "```"]))
    files[f"{name}.md"] = "\n\n".join(parts) + "\n"
    for page in pages:
        _render_page(page, page.slug, files)


def _render_section(section: Section, depth: int, pages: list[Section], files: dict[str, str]) -> list[str]:
    """A section's blocks, and those below it but for the ones that begin a page: they go to ``pages``."""
    parts = ["#" * depth + " " + section.title, *_render_blocks(section.blocks, files)]
    for child in section.sections:
        if child.level <= HEADINGS.index(PAGE):
            pages.append(child)
        else:
            parts += _render_section(child, depth + 1, pages, files)
    return parts


def _render_blocks(blocks: Sequence[Block], files: dict[str, str]) -> list[str]:
    parts = []
    dot = ")"
    for index, block in enumerate(blocks):
        match block:
            case Paragraph():
                parts.append(block.text)
            case NumberedList():
                # Of two lists in a row the second has the other sign, or they would be one.
                after_list = index > 0 and isinstance(blocks[index - 1], NumberedList)
                dot = ")" if after_list and dot == "." else "."
                parts.append(_render_items(block, dot, files))
            case Code():
                files[block.file] = block.text
                parts.append(f"```{{literalinclude}} {block.file}\n:language: {block.language}\n```")
    return parts


def _render_items(block: NumberedList, dot: str, files: dict[str, str]) -> str:
    items = []
    for number, blocks in enumerate(block.items, 1):
        marker = f"{number}{dot} "
        text = "\n\n".join(_render_blocks(blocks, files))
        items.append((marker + textwrap.indent(text, " " * len(marker)).lstrip(" ")).rstrip(" "))
    return "\n".join(items)


MANIFEST = ".tex2myst"  # what this program wrote to a folder, in the form of sha256sum


def write(files: dict[str, str], out: Path) -> None:
    """Make ``out`` hold these files and no others: all of them, or it stays as it was.

    Raises OutputError if ``out`` holds anything that an earlier call did not
    write, or that was changed since, and OSError if it cannot be written.
    """
    contents = {name: text.encode() for name, text in files.items()}
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in sorted(contents.items())}
    contents[MANIFEST] = "".join(f"{digest}  {name}\n" for name, digest in digests.items()).encode()
    target = out.resolve()
    _refuse_foreign(target, out)
    target.parent.mkdir(parents=True, exist_ok=True)
    # The new folder is complete before it takes the old one's place, on the same file system.
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".tex2myst-") as scratch:
        new, old = Path(scratch, "new"), Path(scratch, "old")
        for name, content in contents.items():
            file = new / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        if target.exists():
            target.rename(old)
        try:
            new.rename(target)
        except BaseException:
            if old.exists():
                old.rename(target)
            raise


def _refuse_foreign(target: Path, out: Path) -> None:
    """Raise OutputError unless ``target`` is missing, empty, or as this program left it."""
    if not target.exists():
        return
    if not target.is_dir():
        raise OutputError(f"{out}: not a folder")
    written = {}
    manifest = target / MANIFEST
    if manifest.is_file():
        lines = manifest.read_text(encoding="utf-8", errors="replace").splitlines()
        written = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    folders = {os.path.dirname(name) for name in written}
    for path in sorted(target.rglob("*")):
        name = path.relative_to(target).as_posix()
        ours = path.is_file() and not path.is_symlink() and (
            name == MANIFEST or written.get(name) == hashlib.sha256(path.read_bytes()).hexdigest()
        )
        if not ours and not (path.is_dir() and name in folders):
            raise OutputError(f"{out}: not written to, as {name} in it is not as this program wrote it")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    summary, details = __doc__.split("\n\n", 1)
    parser = argparse.ArgumentParser(
        prog="tex2myst", description=summary.split(":")[0] + ".", epilog=details,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("input", metavar="INPUT.tex", help="the LaTeX file, in UTF-8")
    parser.add_argument("out", metavar="OUT", type=Path, help="the folder to write")
    options = parser.parse_args(arguments)
    try:
        document = read(options.input)
        write(render(document), options.out)
    except OSError as error:
        print(f"{error.filename or options.out}: {error.strerror}", file=sys.stderr)
        return 2
    except (TexError, OutputError) as error:
        print(error, file=sys.stderr)
        return 2
    for report in document.reports:
        print(report, file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
