# SPDX-License-Identifier: GPL-2.0
"""Reads what the tests print, and compares two runs of them in one table."""
import re
from pathlib import Path

OK, FAIL, SKIP, MISSING = "ok", "FAIL", "skip", "no result"
SKIPS = Path(__file__).with_name("skips")


def outcome_of(word):
    if word.startswith("OK") and "SKIP" not in word:
        return OK
    return SKIP if "SKIP" in word else FAIL


def test_progs(text, expected):
    """Lines such as "#3/1    tc_redirect/tc_redirect_peer:OK". A test with subtests is its subtests, unless it failed without one of
    them failing; one that did not report is missing. Subtests that differ in their mode alone carry the same name: they are
    told apart by their place."""
    found, parents = {}, {}
    for number, name, word in re.findall(r"^#(\d+(?:/\d+)?) +(\S+?):((?:OK|FAIL|SKIP).*)$", text, re.MULTILINE):
        place = number.partition("/")[2]
        if place:
            test_name, _, subtest = name.partition("/")
            found[f"{test_name}/{place} {subtest}"] = outcome_of(word)
        else:
            parents[name] = outcome_of(word)
    for name, outcome in parents.items():
        children = [found[child] for child in found if child.startswith(f"{name}/")]
        if not children or (outcome == FAIL and FAIL not in children):
            found[name] = outcome
    found.update({name: MISSING for name in expected if name not in parents})
    return found


def ktap(text, _expected):
    """KTAP: the plan "1..N", and lines such as "ok 2 name # SKIP reason"."""
    found = {}
    for no, name, directive in re.findall(r"^(not )?ok \d+ (\S+)(.*)$", text, re.MULTILINE):
        skipped = re.search(r"# *SKIP", directive, re.IGNORECASE)
        found[name] = FAIL if no else SKIP if skipped else OK
    plan = re.search(r"^1\.\.(\d+)$", text, re.MULTILINE)
    for number in range(len(found) + 1, (int(plan[1]) if plan else 1) + 1):
        found[f"test {number} of the plan"] = MISSING
    return found


def allowed_skips():
    """The rule file: a test's name as in the table, a tab, the reason."""
    skips = {}
    for line in SKIPS.read_text().splitlines():
        if line and not line.startswith("#"):
            name, tab, reason = line.partition("\t")
            if not tab or not reason.strip():
                raise SystemExit(f"netkit-rs: error: {SKIPS}: no tab and reason in: {line}")
            skips[name] = reason.strip()
    return skips


def columns(words):
    return "  ".join(f"{word:9}" for word in words)


def table(runs):
    """Prints a row a test, and counts. `runs` are the outcomes on each driver, by what the driver is called."""
    skips = allowed_skips()
    rows = list(dict.fromkeys(test for found in runs.values() for test in found))
    width = max(map(len, rows), default=4)
    print(f"\n{'test':{width}}  {columns('on ' + driver for driver in runs)}".rstrip())
    passed = failed = 0
    for name in rows:
        outcomes = {driver: found.get(name, MISSING) for driver, found in runs.items()}
        kinds = set(outcomes.values())
        good = kinds == {OK} or (kinds == {SKIP} and name in skips)
        passed, failed = passed + good, failed + (not good)
        note = skips.get(name, "") if kinds == {SKIP} else ""
        mark = note if good else f"<-- {note or why_not(outcomes)}"
        print(f"{name:{width}}  {columns(outcomes.values())}  {mark}".rstrip())
    return passed, failed


def why_not(outcomes):
    if SKIP in outcomes.values() and outcomes.get("C") != OK:
        return "a skipped test is not a pass"
    if "C" not in outcomes:
        return "it does not pass"
    return "ours differs from C" if outcomes["C"] == OK else "it does not pass on C, either"
