# SPDX-License-Identifier: GPL-2.0
"""Which of the kernel's tests are wanted, where they lie, and how each is run."""
import os
import re
from pathlib import Path

JOBS = os.cpu_count() or 1

# bpf test_progs: files of prog_tests/.
BPF_TESTS = ["tc_netkit.c", "tc_redirect.c"]
# Tests in Python, as they lie in the kernel source. The nk_*.py of drivers/net/hw are not among them: they need a network card
# with header split and a second machine.
PYTHON_TESTS = [
    "tools/testing/selftests/net/nk_qlease.py",
]
# Programs of tools/net/ynl/tests, named as the netlink family they test.
YNL_TESTS = ["rt-link"]

BPF_FOLDER = "tools/testing/selftests/bpf"
YNL_FOLDER = "tools/net/ynl/tests"


def folder(cache):
    """Where the copy of the kernel source is built, in the cache folder: one for each kernel package."""
    return Path(cache) / "kselftest" / os.environ["NETKIT_RS_KPACKAGE"]


def netdevsim(tree):
    return tree / "drivers/net/netdevsim/netdevsim.ko"


def programs(tree):
    """Every file that must be there for a run."""
    yield tree / BPF_FOLDER / "test_progs"
    yield netdevsim(tree)
    yield from (tree / YNL_FOLDER / test for test in YNL_TESTS)
    yield from (tree / test for test in PYTHON_TESTS)


def bpf_names(tree):
    """The tests that the wanted files of prog_tests/ define: test_progs must report each."""
    for file in BPF_TESTS:
        text = (tree / BPF_FOLDER / "prog_tests" / file).read_text()
        yield from re.findall(r"^void (?:serial_)?test_(\w+)\((?:void)?\)", text, re.MULTILINE)
