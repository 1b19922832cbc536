#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Runs the kernel's own netkit tests in the VM: on the built-in C driver, then, with our module loaded, on ours, and
prints one table. Runs as root in the guest, after kselftest/build.py has built the tests. Arguments choose suites, by part
of their name; --driver one of the two.

A row passes when the test passes on each driver. It also passes when the test is skipped on each and kselftest/skips
says why nothing here can run it. Everything else fails: a failure on either, a skip without such a reason, a test that
gave no result. The whole output of each run is kept in target/kselftest/ (target/kernel-VARIANT/kselftest/).
"""
import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

import results
import wanted

# With a kernel of our own, what belongs to it lies in a folder of its own.
TARGET = Path(os.environ["NETKIT_RS_KTARGET"])
MODULE = TARGET / "module/netkit_rs.ko"
NETKIT_RS = "target/release/netkit-rs"
LOGS = TARGET / "kselftest"
# Programs that the tests call and the VM lacks.
BIN = Path(__file__).resolve().parent / "bin"
# Seconds for one suite on one driver, where the CPU is emulated and the machine is busy; a kernel with KASAN is slower still.
PATIENCE = 1500 if TARGET == Path("target") else 6000


def say(text):
    print(f"netkit-rs: {text}", flush=True)


def die(text):
    sys.exit(f"netkit-rs: error: {text}")


def command(*words):
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        die(f"{' '.join(words)}: {(done.stderr or done.stdout).strip() or done.returncode}")
    return done.stdout


def suites(tree):
    """Name, working folder, command, how its output is read, and the tests that it must report."""
    bpf = tree / wanted.BPF_FOLDER
    names = sorted(wanted.bpf_names(tree))
    yield "bpf test_progs", bpf, ["./test_progs", "-w", str(PATIENCE), "-a", ",".join(names)], results.test_progs, names
    for test in wanted.YNL_TESTS:
        yield f"ynl {test}", tree / wanted.YNL_FOLDER, [f"./{test}"], results.ktap, []
    for path in wanted.PYTHON_TESTS:
        test = tree / path
        yield f"net {test.name}", test.parent, ["/usr/bin/python3", str(test)], results.ktap, []


def run(driver, suite):
    """One suite on one driver: the outcome of each test."""
    name, folder, words, read, expected = suite
    log = LOGS / f"{name.replace(' ', '-')}-{driver}.log"
    start = time.monotonic()
    settings = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "PYTHONDONTWRITEBYTECODE": "1"}
    with open(log, "w", encoding="utf-8") as output:
        # A group of its own, so that nothing a test left behind outlives its time.
        process = subprocess.Popen(words, cwd=folder, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                                   env=settings, start_new_session=True)
        try:
            status = process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            status = process.wait()
            say(f"{name} on {driver}: time was up after {PATIENCE} s")
    text = log.read_text(errors="replace")
    found = read(text, expected)
    if status != 0 and all(outcome in (results.OK, results.SKIP) for outcome in found.values()):
        found["exit status"] = results.FAIL
    say(f"{name} on {driver}: {len(found)} results, exit status {status}, {time.monotonic() - start:.0f} s")
    return {f"{name}: {test}": outcome for test, outcome in found.items()}


def no_devices_left(driver):
    """A test that leaves a device behind would keep our module from loading."""
    listed = command("ip", "-o", "link", "show", "type", "netkit")
    for line in listed.splitlines():
        name = line.split(":")[1].strip().split("@")[0]
        say(f"the tests left the device {name} behind on {driver}: deleting it")
        subprocess.run(["ip", "link", "del", name], check=False, capture_output=True)


def netdevsim(tree):
    command("modprobe", "-a", "psample")
    command("insmod", str(wanted.netdevsim(tree)))


def run_all(driver, todo):
    """All suites on one driver, which is left without a device."""
    found = {}
    for suite in todo:
        found.update(run(driver, suite))
    no_devices_left(driver)
    return found


def main():
    parser = argparse.ArgumentParser(description="the kernel's own netkit tests")
    parser.add_argument("--driver", choices=["c", "rust"], help="on this driver alone")
    parser.add_argument("chosen", nargs="*", metavar="SUITE", help="part of a suite's name")
    arguments = parser.parse_args()
    tree = wanted.folder(os.environ["NETKIT_RS_CACHE"]) / "tree"
    LOGS.mkdir(parents=True, exist_ok=True)
    netdevsim(tree)
    chosen = arguments.chosen
    todo = [suite for suite in suites(tree) if not chosen or any(word in suite[0] for word in chosen)]
    if not todo:
        die(f"no suite is called {' or '.join(chosen)}")
    runs = {}
    if arguments.driver != "rust":
        runs["C"] = run_all("C", todo)
    if arguments.driver != "c":
        command(NETKIT_RS, "load", str(MODULE))
        runs["ours"] = run_all("ours", todo)
        # A module that can still be unloaded after the tests has lost no reference.
        command(NETKIT_RS, "unload")
    passed, failed = results.table(runs)
    print(f"{passed} passed, {failed} failed", flush=True)
    sys.exit(0 if failed == 0 and passed > 0 else 1)


if __name__ == "__main__":
    main()
