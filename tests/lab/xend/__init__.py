# SPDX-License-Identifier: MIT
"""A model of xend's relocation listener: ``python -m tests.lab.xend CONFIG.sxp``.

xend left Xen in 4.5 and cannot be installed any more. This reads its
configuration, listens, admits and answers as the real one does, in the network
namespace where it is started. It follows the source of xen.git 9e8672f1c3^, the
last commit that had xend, under Python 2.7; the comments give file and line
there. What the real one was measured to do is in tests/xend-observed.json, and
tests/test_xend_observed.py holds the model to it.

The modules: ``sxp`` reads S-expressions, ``options`` finds a setting,
``python2`` has what Python 2.7 does otherwise than the Python of the tests,
``listener`` decides who gets in, ``conversation`` answers on the wire.

Not modelled: the restore of a guest (16 bytes are read, and that is called a
success), the Unix socket of ``xend-unix-server``, a reload, and every option
that has nothing to do with relocation.
"""
