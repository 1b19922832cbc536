#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Builds the kernel's own netkit tests from linux-source, unmodified, into the cache folder. Runs in the root folder.

The bpf selftests are hundreds of test files that not every compiler builds, so the kernel's own Makefiles work on a copy
of the source in which prog_tests/ and progs/ hold only what wanted.py names and what that includes. A second run finds the
tests there and says nothing; each run compares every copied file with the source, byte for byte, and fails when a wanted
test is missing.
"""
import fcntl
import filecmp
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import wanted

# What the tests' Makefiles and programs reach for, each a path within the kernel source.
COPIED = [
    "MAINTAINERS",
    "Documentation/netlink",
    "drivers/net/netdevsim",
    "include/uapi",
    "kernel/bpf/disasm.c",
    "kernel/bpf/disasm.h",
    "scripts/Makefile.compiler",
    "scripts/bpf_doc.py",
    "tools/arch/x86",
    "tools/bpf/bpftool",
    "tools/build",
    "tools/include",
    "tools/lib",
    "tools/net/ynl",
    "tools/scripts",
    "tools/testing/selftests/bpf/gnu",
    "tools/testing/selftests/net/lib",
    "tools/testing/selftests/kselftest",
]
SELFTESTS = "tools/testing/selftests"
BPF = f"{SELFTESTS}/bpf"
# Debian packages on top of scripts/packages. They are not in that list: it is the root folder's name, and the ordinary
# tests do without them.
PACKAGES = {
    "openssl": "/usr/bin/openssl",
    "python3-jsonschema": "/usr/share/doc/python3-jsonschema",
    "python3-yaml": "/usr/share/doc/python3-yaml",
}


def say(text):
    print(f"netkit-rs: {text}", file=sys.stderr, flush=True)


def die(text):
    sys.exit(f"netkit-rs: error: {text}")


def environment(name):
    value = os.environ.get(name)
    if not value:
        die(f"{name} is not set: run this by `make kselftest`, or scripts/in-root python3 kselftest/build.py")
    return Path(value)


def step(log, name, what, command):
    """Runs one long command with its output in a log; shows the log's end when it fails."""
    start = time.monotonic()
    say(f"{what} …")
    with open(log / f"kselftest-{name}.log", "w", encoding="utf-8") as output:
        try:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, check=False, timeout=1200)
        except subprocess.TimeoutExpired:
            die(f"not done after 1200 s: {what}. The output so far is in log/kselftest-{name}.log of the cache folder")
    if done.returncode != 0:
        lines = (log / f"kselftest-{name}.log").read_text(errors="replace").splitlines()
        for line in lines[-25:]:
            print(f"    | {line}", file=sys.stderr)
        die(f"failed: {what}. The whole output is in log/kselftest-{name}.log of the cache folder")
    say(f"{what}: done in {time.monotonic() - start:.0f} s")


def install_packages(log):
    missing = [package for package, proof in PACKAGES.items() if not Path(proof).exists()]
    if not missing:
        return
    if not Path("/.netkit-rs").is_dir():  # not our root folder but the user's own machine
        die(f"these packages are missing: as root, apt-get install {' '.join(missing)}")
    install = ["apt-get", "install", "-y", "--no-install-recommends", *missing]
    step(log, "packages", f"installing {' '.join(missing)}", install)


def included_programs(source):
    """The BPF programs whose skeletons a test file includes."""
    names = re.findall(r'^#include "(\w+)\.skel\.h"', source.read_text(), re.MULTILINE)
    return [f"{name}.c" for name in names]


def chosen_files(source):
    """Every file of the copy, as paths within the kernel source."""
    files = set()
    for item in COPIED:
        path = source / item
        if not path.exists():
            die(f"linux-source has no {item}")
        files.update([path] if path.is_file() else (file for file in path.rglob("*") if not file.is_dir()))
    selftests, bpf = source / SELFTESTS, source / BPF
    files.update(file for file in selftests.iterdir() if file.is_file())
    files.update(file for file in bpf.iterdir() if not file.is_dir())
    for folder in ("prog_tests", "progs", "test_kmods"):
        files.update((bpf / folder).glob("*.h"))
    for test in wanted.BPF_TESTS:
        files.add(bpf / "prog_tests" / test)
        files.update(bpf / "progs" / program for program in included_programs(bpf / "prog_tests" / test))
    files.update(source / test for test in wanted.PYTHON_TESTS)
    files.update([file.resolve() for file in files if file.is_symlink()])
    return sorted(file.relative_to(source) for file in files)


def copy(source, tree, files):
    for file in files:
        (tree / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source / file, tree / file, follow_symlinks=False)


def compare(source, tree, files):
    """The copy is the kernel's source, byte for byte."""
    for file in files:
        if not filecmp.cmp(source / file, tree / file, shallow=False):
            die(f"{file} differs from linux-source")


def build_bpf(log, tree, kbuild):
    """test_progs by its own Makefile. What the dropped tests alone need is set to nothing: programs and kernel modules
    that they run, skeletons which are made from several objects, the arena library."""
    none = ("TRUNNER_EXTRA_FILES", "LINKED_SKELS", "LSKELS", "LSKELS_EXTRA", "LSKELS_SIGNED", "LIBARENA_SKEL")
    make = ["make", f"-j{wanted.JOBS}", "-C", str(tree / BPF), f"{tree / BPF}/test_progs", f"VMLINUX_BTF={kbuild}/vmlinux"]
    make += ["SKIP_LLVM=1", "SKIP_DOCS=1", "SKIP_LIBBFD=1", "RELEASE=1", "BPFTOOL=/usr/sbin/bpftool"]
    make += ["TRUNNER_BPFTOOL=/usr/sbin/bpftool", *(f"{name}=" for name in none)]
    step(log, "bpf", "building test_progs", make)


def build_ynl(log, tree):
    # The families of the wanted tests are enough: generating the code of all of them takes minutes.
    make = ["make", "-C", str(tree / "tools/net/ynl/tests"), *wanted.YNL_TESTS, f"GENS={' '.join(wanted.YNL_TESTS)}"]
    step(log, "ynl", "building the ynl tests", make)


def build_netdevsim(log, tree, kbuild):
    make = ["make", f"-j{wanted.JOBS}", "-C", str(kbuild), f"M={tree}/drivers/net/netdevsim", "CONFIG_NETDEVSIM=m"]
    # The compiler that built the kernel: clang for a kernel of our own, gcc for Debian's.
    llvm = os.environ.get("NETKIT_RS_KLLVM")
    make += [f"LLVM={llvm}" if llvm else f"CC={environment('NETKIT_RS_KCC')}", "modules"]
    step(log, "netdevsim", "building netdevsim", make)


def main():
    cache, source, kbuild = (environment(f"NETKIT_RS_{name}") for name in ("CACHE", "KSRC", "KBUILD"))
    key = hashlib.sha256(b"".join((Path(__file__).parent / name).read_bytes() for name in ("build.py", "wanted.py")))
    key.update((kbuild.parent / "kernel").read_bytes())
    folder, log = wanted.folder(cache), cache / "log"
    key.update(str(folder).encode())  # the build holds absolute paths
    folder.mkdir(parents=True, exist_ok=True)
    log.mkdir(exist_ok=True)
    with open(folder / "lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        install_packages(log)
        stamp, tree = folder / "stamp", folder / "tree"
        files = chosen_files(source)
        if not stamp.exists() or stamp.read_text() != key.hexdigest():
            stamp.unlink(missing_ok=True)
            shutil.rmtree(tree, ignore_errors=True)
            copy(source, tree, files)
            build_bpf(log, tree, kbuild)
            build_ynl(log, tree)
            build_netdevsim(log, tree, kbuild)
            stamp.write_text(key.hexdigest())
        compare(source, tree, files)
        for program in wanted.programs(tree):
            if not program.is_file():
                die(f"{program} was not built")


if __name__ == "__main__":
    main()
