# SPDX-License-Identifier: MIT
"""The blocks of the guide that are marked ``:xen:``, run on real nodes of their page's topology, for each Xen."""
from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.transcripts.cases import parametrize, run_page


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    parametrize(metafunc, on_xen=True)


def test_page(case: tuple[str, str], record_property: Callable[[str, object], None]):
    """On nodes of its own, which nothing was done to."""
    run_page(case, record_property)
