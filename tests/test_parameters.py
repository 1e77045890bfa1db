# SPDX-License-Identifier: MIT
"""The values in the examples are the parameters that ``topology.toml`` names and the pages list."""
from __future__ import annotations

import ipaddress
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from bs4 import BeautifulSoup

import reader_values
from code_kinds import CodeBlock
from tests import guide
from tests.lab import topology
from tests.transcripts.page import PROMPT_IN_TEXT, commands

sys.path.insert(0, str(topology.EXAMPLES))
import check_values  # noqa: E402

#: What the protocols fix, and no reader changes.
FIXED = {"fe80::/10", "::", "::/128", "0.0.0.0", "0.0.0.0/32", "lo", "22", "67", "68", "546", "547", "127.0.0.1",
         "16514", "49152-49216", "49152:49216"}
FILES = [path for path in sorted(topology.EXAMPLES.glob("*/*"))
         if path.suffix in (".nft", ".v4", ".v6", ".sxp", ".sh") or path.match("wg0-*.conf")]
SCENARIOS = sorted(path.parent.name for path in topology.EXAMPLES.glob("*/topology.toml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_every_value_is_a_parameter(path: Path):
    parameters = {name: str(value) for name, value in topology.load(path.parent.name).parameters.items()}
    reader = check_values.reader_of(str(path))
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        for name, text in reader(line):
            where = f"{path.name}:{number}: {name} {text}"
            if name.endswith(("_mark", "_allow", "_key", "_half6")):  # a half has to fit the address beside it
                continue
            if name.startswith(("allowed_source", "ssh_network", "source")):
                text = re.sub("/(32|128)$", "", text)
            if name in parameters:
                assert text == parameters[name], where
            else:
                assert text in FIXED | set(parameters.values()), where


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_parameter_is_used(scenario: str):
    """What the page tells a reader to change is there to be changed."""
    values = reader_values.parameters(scenario)
    used = {place.name for path in topology.EXAMPLES.glob(f"{scenario}/*") if path.name != "topology.toml"
            for place in reader_values.places(path.read_text(encoding="utf-8"), values)}
    assert set(values) == used


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_no_value_is_ambiguous(scenario: str):
    """A value is taken for the parameter that it equals: it can be that of one only, written in one way only."""
    values = reader_values.parameters(scenario)
    canonical = [str(ipaddress.ip_network(value)) if name.endswith(("network", "network6", "address", "address6"))
                 else value for name, value in values.items()]
    assert len(set(canonical)) == len(values), values
    assert reader_values.all_parameters().items() >= values.items(), "another scenario has this name with another value"


def blocks() -> Iterator[tuple[guide.Page, CodeBlock, list[reader_values.Place]]]:
    for page in guide.pages().values():
        for block in guide.blocks(page):
            yield page, block, reader_values.places_in(block, page.metadata.get("topology", ""))


def test_an_interface_in_a_command_is_that_of_one_kind_of_host():
    """eth1 may be a card of a node, and of the border firewall: a command says by its prompt whose it is."""
    roles: dict[tuple[str, str], set[str]] = {}
    for page, block, places in blocks():
        for place in places if block.kind == "transcript" else []:
            if place.name.endswith("interface"):
                prompt = list(PROMPT_IN_TEXT.finditer(block.text, 0, place.start + 1))[-1].group()
                host = topology.load(page.metadata["topology"]).hosts[prompt.partition("@")[2][:-2]]
                roles.setdefault((page.metadata["topology"], place.name), set()).add(host.role)
    assert roles
    assert [(name, found) for name, found in roles.items() if len(found) > 1] == []


def test_what_commands_print_is_no_parameter():
    count = 0
    for _, block, places in blocks():
        if block.kind != "transcript" or block.inline:
            continue
        for place in places:
            count += 1
            start = block.text.rfind("\n", 0, place.start) + 1
            line = block.text[start:].partition("\n")[0]
            entered = "\n".join(f"{command.prompt}{command.text}" for command in commands(block))
            assert line in entered, (block.where, line)
    assert count > 100


def test_each_value_on_a_page_can_be_entered_there():
    """Every place that the build marked has the text that its parameter has in this guide, and a field in the panel."""
    every = list(blocks())
    for page in guide.pages().values():
        html = BeautifulSoup(guide.built(f"html/{page.name}.html").read_text(encoding="utf-8"), "html.parser")
        found = {mark["data-parameter"]: mark for mark in html.select("[data-parameter]")}
        fields = [field["name"] for field in html.select("details.values input")]
        assert sorted(found) == sorted(fields), page.name
        for mark in html.select("[data-parameter]"):
            value = reader_values.all_parameters()[mark["data-parameter"]]
            form = {"pattern": reader_values.pattern, "half": reader_values.half}.get(mark.get("data-form"), str)
            assert mark.text == form(value)
        expected = {place.name for _, block, places in every if block.source.endswith(page.file) for place in places}
        assert expected == set(found), page.name
