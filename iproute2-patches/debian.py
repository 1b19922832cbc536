# SPDX-License-Identifier: GPL-2.0
"""The source packages of iproute2, from Debian. apt looks the versions up and checks what it loads, with sources and lists
of its own in the cache folder: those of the root folder stay as they are. Only the upstream tarball is loaded, as
the series are for upstream's source and not for Debian's changes to it."""
import fnmatch
import functools
import re
import subprocess

from common import Step, die, say

PACKAGE = "iproute2"


class Apt:
    def __init__(self, log, folder):
        self.log, self.folder = log, folder
        (folder / "lists/partial").mkdir(parents=True, exist_ok=True)
        (folder / "archives/partial").mkdir(parents=True, exist_ok=True)
        self.options = []
        settings = {"Dir::Etc::SourceList": folder / "sources.list", "Dir::Etc::SourceParts": "/dev/null",
                    "Dir::State::Lists": folder / "lists", "Dir::Cache": folder, "APT::Sandbox::User": "root"}
        for name, value in settings.items():
            self.options += ["-o", f"{name}={value}"]

    def mirror(self):
        """The mirror that the system itself is from."""
        listed = self.log.run(["apt-get", "indextargets", "--format", "$(REPO_URI) $(CODENAME)", "Identifier: Packages"])
        found = re.search(r"^(\S+) trixie$", listed, re.MULTILINE)
        return found[1] if found else die("apt has no source for trixie")

    def read_lists(self, suites):
        mirror = self.mirror()
        (self.folder / "sources.list").write_text("".join(f"deb-src {mirror} {suite} main\n" for suite in suites))
        with Step(f"reading the source lists of {', '.join(suites)}"):
            self.log.run(["apt-get", *self.options, "update"])

    def versions(self, pattern):
        """Those on offer, newest first."""
        shown = self.log.run(["apt-cache", *self.options, "showsrc", "--only-source", PACKAGE])
        found = [version for version in re.findall(r"^Version: (\S+)$", shown, re.MULTILINE) if fnmatch.fnmatch(version, pattern)]
        return sorted(set(found), key=functools.cmp_to_key(compare), reverse=True)

    def load(self, version, folder):
        """Loads the tarball, or says why not. A mirror may list what it does not have (yet, or any more)."""
        folder.mkdir(parents=True, exist_ok=True)
        words = ["apt-get", *self.options, "source", "--download-only", "--tar-only", f"{PACKAGE}={version}"]
        done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
        return "" if done.returncode == 0 else done.stderr.strip()


def compare(one, other):
    newer = subprocess.run(["dpkg", "--compare-versions", one, "gt", other], check=False).returncode == 0
    return 1 if newer else -1


def tarball(folder, version):
    upstream = version.rpartition("-")[0]
    return next(iter(folder.glob(f"{PACKAGE}_{upstream}.orig.tar.*")), None)


def choose(log, cache, series, pattern, suites):
    """Version and tarball for a series. What was chosen once holds until the cache folder or the table of sources changes."""
    folder = cache / series
    choice = folder / "choice"
    wanted = f"{pattern} {' '.join(suites)}"
    if choice.exists():
        version, _, of = choice.read_text().partition(" ")
        if of == wanted and tarball(folder, version):
            return version, tarball(folder, version)
    apt = Apt(log, folder / "apt")
    apt.read_lists(suites)
    offered = apt.versions(pattern)
    for version in offered:
        problem = apt.load(version, folder)
        if not problem:
            choice.write_text(f"{version} {wanted}")
            return version, tarball(folder, version)
        say(f"{PACKAGE} {version} is listed, but cannot be loaded: {problem.splitlines()[0]}")
    return die(f"no {PACKAGE} {pattern} to be had in {', '.join(suites)}; on offer: {', '.join(offered) or 'none'}")
