# SPDX-License-Identifier: GPL-2.0
"""What the build and the run of `make iproute2` share: the series, where things lie, how to speak to the user."""
import os
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
# What the VM needs of a build: the only folder that the run may write to lies in the checkout.
STAGE = Path("target/iproute2")


def say(text):
    print(f"netkit-rs: {text}", file=sys.stderr, flush=True)


def die(text):
    sys.exit(f"netkit-rs: error: {text}")


def environment(name):
    value = os.environ.get(name)
    if not value:
        die(f"{name} is not set: run this by `make iproute2`")
    return Path(value)


def sources():
    """The table of that name: series, version pattern, suites."""
    for line in (HERE / "sources").read_text().splitlines():
        if line and not line.startswith("#"):
            series, pattern, suites = line.split("\t")
            yield series, pattern, suites.split()


def patches(series):
    return sorted((HERE / series).glob("*.patch"))


def staged(series, which):
    """The folder of an ip, as iproute2's testsuite wants it."""
    return STAGE / series / "testsuite/iproute2" / which


class Log:
    """The output of the steps of one build, in one file. It ends up on the screen when a step fails."""

    def __init__(self, name):
        folder = environment("NETKIT_RS_CACHE") / "log"
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / f"{name}.log"
        self.path.write_text("")

    def run(self, words, **options):
        """Runs one command; its output."""
        done = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, errors="replace", check=False, timeout=1200, **options)
        with open(self.path, "a", encoding="utf-8") as log:
            log.write(f"$ {' '.join(map(str, words))}\n{done.stdout}")
        if done.returncode != 0:
            for line in done.stdout.splitlines()[-25:]:
                print(f"    | {line}", file=sys.stderr)
            die(f"failed: {' '.join(map(str, words))}. The whole output is in log/{self.path.name} of the cache folder")
        return done.stdout


class Step:
    """Says what takes long, and how long it took."""

    def __init__(self, what):
        self.what = what

    def __enter__(self):
        self.start = time.monotonic()
        say(f"{self.what} …")

    def __exit__(self, kind, value, traceback):
        if kind is None:
            say(f"{self.what}: done in {time.monotonic() - self.start:.0f} s")
