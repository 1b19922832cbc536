#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Builds iproute2's ip, once as it is and once with each series of patches here, in the cache folder. Runs in the root
folder; iproute2-patches/run.py then tests the result in the VM.

Each series has to apply with `git am` to the pristine source without a complaint, has to build without a warning after each
of its patches, and may not bring a warning of groff's into the manual page. A build is kept until its source or its series changes.
"""
import fcntl
import hashlib
import os
import re
import shutil
from pathlib import Path

import common
import debian
from common import Step, die, say

# Debian packages on top of scripts/packages, each with a file that proves it is there.
PACKAGES = {
    "bash-completion": "/usr/share/bash-completion/bash_completion",
    "git": "/usr/bin/git",
    "groff-base": "/usr/bin/groff",
    "libcap-dev": "/usr/include/sys/capability.h",
    "libmnl-dev": "/usr/include/libmnl/libmnl.h",
    "libselinux1-dev": "/usr/include/selinux/selinux.h",
}
# git as anybody would have it, whatever the user's own settings say.
GIT = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_COUNT": "1",
       "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*",
       "GIT_AUTHOR_NAME": "netkit-rs", "GIT_AUTHOR_EMAIL": "netkit-rs@localhost",
       "GIT_COMMITTER_NAME": "netkit-rs", "GIT_COMMITTER_EMAIL": "netkit-rs@localhost"}


def install_packages(log):
    missing = [package for package, proof in PACKAGES.items() if not Path(proof).exists()]
    if not missing:
        return
    if not Path("/.netkit-rs").is_dir():  # not our root folder but the user's own machine
        die(f"these packages are missing: as root, apt-get install {' '.join(missing)}")
    with Step(f"installing {' '.join(missing)}"):
        log.run(["apt-get", "-o", "DPkg::Lock::Timeout=300", "install", "-y", "--no-install-recommends", *missing])


class Build:
    """One series on its way from the tarball to two programs called ip."""

    def __init__(self, log, series, folder):
        self.log, self.series = log, series
        self.folder, self.tree = folder, folder / "tree"

    def run(self, *words):
        return self.log.run(words, cwd=self.tree, env=os.environ | GIT)

    def make(self, *arguments):
        output = self.run("make", "--silent", f"-j{os.cpu_count() or 1}", "V=1", *arguments)
        if "warning:" in output:
            die(f"{self.series}: the compiler warns; see log/{self.log.path.name} of the cache folder")

    def make_ip(self):
        self.make("SUBDIRS=lib ip")

    def unpack(self, tarball):
        shutil.rmtree(self.folder, ignore_errors=True)
        self.tree.mkdir(parents=True)
        self.run("tar", "-xf", str(tarball), "--strip-components=1")
        self.run("git", "init", "--quiet", "--initial-branch=main")
        self.run("git", "add", "--all", "--force")
        self.run("git", "commit", "--quiet", "--message", f"pristine {tarball.name}")
        self.run("git", "tag", "pristine")

    def manual_warnings(self):
        page = (self.tree / "man/man8/ip-link.8.in").read_text()
        plain = self.folder / "ip-link.8"
        plain.write_text(re.sub(r"@\w+@", "x", page))
        return self.run("groff", "-ww", "-man", "-Tutf8", "-z", str(plain)).splitlines()

    def apply(self, patches):
        before = self.manual_warnings()
        for patch in patches:
            said = self.run("git", "am", "--quiet", "--whitespace=error", str(patch))
            if said:
                die(f"git am has something to say of {patch.name}: {said}")
            self.make_ip()
        if len(self.run("git", "rev-list", "pristine..main").split()) != len(patches):
            die(f"{self.series}: not every patch became one commit")
        dirty = self.run("git", "status", "--porcelain", "--untracked-files=no")
        if dirty:
            die(f"{self.series}: git am left changes behind: {dirty}")
        after = self.manual_warnings()
        if len(after) > len(before):
            die(f"{self.series}: groff warns of the manual page: {after}")

    def all(self, tarball, patches):
        self.unpack(tarball)
        self.run("./configure")
        self.make_ip()
        shutil.copy2(self.tree / "ip/ip", self.folder / "ip-unpatched")
        self.apply(patches)
        self.make("-C", "testsuite/tools")

    def stage(self):
        """What the VM needs, where its run may write: the testsuite, with both programs in the place of iproute2 versions."""
        stage = common.STAGE / self.series
        shutil.rmtree(stage, ignore_errors=True)
        shutil.copytree(self.tree / "testsuite", stage / "testsuite")
        (stage / "lib").mkdir()
        for file in ("config.mk", "lib/libnetlink.a", "lib/libutil.a", "bash-completion/ip"):
            (stage / file).parent.mkdir(exist_ok=True)
            shutil.copy2(self.tree / file, stage / file)
        for which, program in (("patched", self.tree / "ip/ip"), ("unpatched", self.folder / "ip-unpatched")):
            place = common.staged(self.series, which) / "ip"
            place.mkdir(parents=True)
            shutil.copy2(program, place / "ip")


def build(cache, series, pattern, suites):
    log = common.Log(f"iproute2-{series}")
    patches = common.patches(series)
    if not patches:
        die(f"iproute2-patches/{series} holds no patches")
    version, tarball = debian.choose(log, cache, series, pattern, suites)
    key = hashlib.sha256()
    for file in (common.HERE / "build.py", tarball, *patches):
        key.update(file.read_bytes())
    work = Build(log, series, cache / series / f"{version}-{key.hexdigest()[:12]}")
    stamp = work.folder / "stamp"
    if not stamp.exists():
        with Step(f"building iproute2 {version}, and again after each of {len(patches)} patches"):
            work.all(tarball, patches)
        stamp.write_text(f"{version}\n")
    say(f"{series}: iproute2 {version}, {len(patches)} patches")
    work.stage()


def main():
    cache = common.environment("NETKIT_RS_CACHE") / "iproute2"
    cache.mkdir(parents=True, exist_ok=True)
    with open(cache / "lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        install_packages(common.Log("iproute2-packages"))
        for series, pattern, suites in common.sources():
            build(cache, series, pattern, suites)


if __name__ == "__main__":
    main()
