# SPDX-License-Identifier: MIT
"""The examples broken on purpose: does a test notice?

A *mutant* is an example with one thing in it changed: another port, a wider network, a condition less. Each must
make one of the tests fail that concern its file. One that does not is a gap in the tests, or changes nothing that
matters; then ``survivors.toml`` says why.

The modules: ``operators`` makes the mutants, ``concern`` says which tests concern a file, ``survivors`` reads the
reasons, and ``runner`` runs the tests on private copies of the project. ``make mutants``, or for some files::

    python -m tests.mutants domain-0/firewall.nft
"""
