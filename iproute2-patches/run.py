#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Tests the patched ip of both series in the VM: on the built-in C driver, then, with our module loaded, on ours. Runs as
root in the guest, after iproute2-patches/build.py. Arguments choose tests, by part of their name.

cases.py is the table of what is tested. Besides it there are the completions, and the tests for iproute2's own testsuite
that the series bring, run by that testsuite. A row of the result passes when all its columns do. The unpatched ip
fails some of the tests, as it must: that it does is a row, too.
"""
import json
import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cases
import common
from common import die, say

OK, NONE = "ok", "-"
PATIENCE = 120  # seconds for one command where the CPU is emulated and the machine is busy
BIN = common.HERE / "bin"
NEW_TEST = re.compile(r"^\+\+\+ b/testsuite/tests/(\S+\.t)$", re.MULTILINE)


def run(words, **options):
    return subprocess.run(words, capture_output=True, text=True, check=False, timeout=PATIENCE, **options)


def ip_of(series, which="patched"):
    return str((common.staged(series, which) / "ip/ip").resolve())


def shown_text(info):
    """What `ip -d` prints of the options that JSON has as `info`."""
    return " ".join(f"{key.replace('dev_', 'dev-').replace('_', ' ')} {value}" for key, value in info.items())


def differences(ip, case):
    """Between the netkit devices that there are and those that the case wants."""
    shown = run([ip, "-d", "-j", "link", "show", "type", "netkit"])
    links = {link["ifname"]: link for link in json.loads(shown.stdout or "[]")}
    if set(links) != set(case.devices):
        yield f"the devices are {sorted(links)}"
        return
    text = run([ip, "-d", "link", "show", "type", "netkit"]).stdout
    blocks = {re.match(r"\d+: ([^:@]+)", block)[1]: block for block in re.split(r"^(?=\d+: )", text, flags=re.MULTILINE) if block}
    for name, wanted in case.devices.items():
        info = links[name]["linkinfo"].get("info_data")
        if info != wanted or list(info) != list(wanted):
            yield f"JSON of {name}: {json.dumps(info)}"
        found = re.search(r"^    netkit (.*?) +(?:addrgenmode|numtxqueues) ", blocks[name], re.MULTILINE)
        if not found or found[1] != shown_text(wanted):
            yield f"text of {name}: {found[1] if found else blocks[name]}"
        for key, value in case.links.get(name, {}).items():
            if links[name].get(key) != value:
                yield f"{key} of {name}: {links[name].get(key)}"


def calls(ip, case):
    """Runs what the case says, and tells what came out otherwise than it wants."""
    if case.batch:
        todo = [([ip, *case.batch.split(), "-"], case.do + "\n")]
    else:
        todo = [([ip, *line.split()], "") for line in case.do.splitlines()]
    for number, (words, text) in enumerate(todo, start=1):
        done = run(words, input=text)
        last = number == len(todo)
        said, status = done.stderr.strip(), done.returncode
        wanted, wanted_status = (case.error, case.status) if last else ("", 0)
        # The unpatched ip's usage is not our business.
        if case.unpatched and said.startswith(wanted + "\n"):
            said = wanted
        if (said, status) != (wanted, wanted_status):
            yield f"exit status {status}, {said or 'nothing said'}"
        if last and case.output and done.stdout.strip() != case.output:
            yield f"printed: {done.stdout.strip()}"


def run_case(series, case):
    """In a network namespace without netkit devices: a new one, unless the last case left none."""
    if netkit_names():
        os.unshare(os.CLONE_NEWNET)
    problems = list(calls(ip_of(series, "unpatched" if case.unpatched else "patched"), case))
    names = netkit_names()
    if names != set(case.devices):
        problems.append(f"the devices are {sorted(names)}")
    elif names and not case.unpatched:
        problems += differences(ip_of(series), case)
    return problems


def netkit_names():
    """The devices of this thread's namespace whose names begin as those of the cases, without a process for it."""
    text = Path("/proc/thread-self/net/dev").read_text()
    return set(re.findall(r"^ *(nk\w+):", text, re.MULTILINE))


def run_completions(series):
    lines = list(cases.COMPLETIONS)
    # The completion asks the ip of the path about link types.
    path = f"{common.staged(series, 'patched').resolve()}/ip:{os.environ['PATH']}"
    done = run(["bash", str(common.HERE / "completion.sh"), str(common.STAGE / series / "bash-completion/ip")],
               input="".join(f"{line}\n" for line in lines), env=os.environ | {"PATH": path})
    offered = done.stdout.splitlines()
    for line, wanted in cases.COMPLETIONS.items():
        words = " ".join(sorted(set(offered.pop(0).split()))) if offered else "no answer"
        problem = [] if words == wanted else [f"offered: {words} {done.stderr.strip()[-300:]}"]
        yield f"completion: {line}<TAB>", problem


def own_tests(series):
    """The tests that a series adds to iproute2's testsuite. A later patch may add to one of them."""
    return dict.fromkeys(test for patch in common.patches(series) for test in NEW_TEST.findall(patch.read_text()))


def run_own_test(series, test):
    """By the testsuite's Makefile: one call runs it with either ip."""
    folder = common.STAGE / series / "testsuite"
    done = subprocess.run(["make", "-C", str(folder), "PREFIX=unshare -n", test], capture_output=True, text=True, check=False,
                          timeout=5 * PATIENCE, env=os.environ | {"PATH": f"{BIN}:{os.environ['PATH']}"})
    said = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout)
    results = dict(re.findall(r"\[(\w+)/[^\]]*\]: *(PASS|FAILED|SKIPPED)", said))
    for which, wanted in (("patched", "PASS"), ("unpatched", "FAILED")):
        result = results.get(which, f"no result: {done.stderr.strip()[-300:]}")
        problem = []
        if result != wanted:
            log = folder / "results" / f"{test}.{which}.err"
            problem = [f"{result}: {log.read_text() if log.exists() else ''}"]
        name = f"testsuite: {test}" if which == "patched" else f"unpatched: fails as known: testsuite {test}"
        yield name, problem


def rows(series, driver, chosen):
    """Name and problems of each test that is chosen."""
    def wanted(name):
        return not chosen or any(word in name for word in chosen)

    for case in cases.CASES:
        if wanted(case.name) and case.unpatched in ("", series) and case.driver in ("", driver):
            yield case.name, run_case(series, case)
    if wanted("completion"):
        yield from run_completions(series)
    for test in own_tests(series):
        if wanted(f"testsuite: {test}"):
            os.unshare(os.CLONE_NEWNET)
            yield from run_own_test(series, test)


def column(series, driver, chosen):
    """The outcome of each test; what went wrong is printed at once."""
    os.unshare(os.CLONE_NEWNET)  # this thread's
    start = time.monotonic()
    version = run([ip_of(series), "-V"]).stdout.strip()
    outcomes = {}
    for name, problems in rows(series, driver, chosen):
        if name in outcomes:
            die(f"two tests are called {name}")
        outcomes[name] = "FAIL" if problems else OK
        for problem in problems:
            say(f"{series} on {driver}: {name}: {problem}")
    os.unshare(os.CLONE_NEWNET)
    say(f"{series} on {driver}: {version}: {len(outcomes)} tests, {time.monotonic() - start:.0f} s")
    return outcomes


def module(action):
    """Loading is refused while a namespace with devices of the other driver is on its way out."""
    deadline = time.monotonic() + PATIENCE
    while True:
        done = run(["target/release/netkit-rs", action])
        if done.returncode == 0:
            return
        if time.monotonic() > deadline:
            die(f"netkit-rs {action}: {done.stderr.strip()}")
        time.sleep(1)


def table(columns):
    """Prints a row a test, and counts."""
    names = list(dict.fromkeys(name for outcomes in columns.values() for name in outcomes))
    width = max(map(len, names), default=4)
    print(f"\n{'test':{width}}  " + "  ".join(f"{title:11}" for title in columns))
    passed = failed = 0
    for name in names:
        found = [outcomes.get(name, NONE) for outcomes in columns.values()]
        good = all(outcome in (OK, NONE) for outcome in found)
        passed, failed = passed + good, failed + (not good)
        print(f"{name:{width}}  " + "  ".join(f"{outcome:11}" for outcome in found).rstrip() + ("" if good else "  <--"))
    return passed, failed


def main():
    chosen = sys.argv[1:]
    every_series = [series for series, _, _ in common.sources()]
    columns = {}
    for driver in ("C", "ours"):
        if driver == "ours":
            module("load")
        # A thread has a network namespace of its own, and what it starts is there, too.
        with ThreadPoolExecutor() as pool:
            found = pool.map(lambda series: column(series, driver, chosen), every_series)
            columns.update((f"{series} on {driver}", outcomes) for series, outcomes in zip(every_series, found))
    module("unload")
    passed, failed = table(columns)
    print(f"{passed} passed, {failed} failed", flush=True)
    sys.exit(0 if failed == 0 and passed > 0 else 1)


if __name__ == "__main__":
    main()
