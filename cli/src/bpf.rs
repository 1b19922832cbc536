// SPDX-License-Identifier: GPL-2.0
//! BPF objects of the running kernel: the kind of a descriptor, the pins, the names of programs.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::path::PathBuf;

use anyhow::Result;
use aya::programs::loaded_programs;
use aya::programs::SchedClassifier;
use netkit_aya::PinnedNetkitLink;
use nix::sys::statfs::statfs;
use serde::Serialize;

use crate::failure::Kind;

/// The maximum number of pins to look at: finding the names of pins must not take seconds.
const LIMIT: usize = 20_000;

pub fn check_root() -> Result<()> {
    if nix::unistd::geteuid().is_root() {
        return Ok(());
    }
    Err(Kind::Permission
        .error("BPF programs are for root to attach and detach: run the same command with sudo"))
}

/// Whether a path is in a BPF file system.
pub fn is_bpf_fs(path: &Path) -> bool {
    statfs(path).is_ok_and(|fs| fs.filesystem_type().0 == libc::BPF_FS_MAGIC)
}

/// Whether a descriptor of bpf(2) is a program. The same command describes maps and links, whose numbers must not be mistaken
/// for that of a program.
pub fn is_program(fd: BorrowedFd<'_>) -> io::Result<bool> {
    let what = fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd()))?;
    Ok(what.as_os_str() == "anon_inode:bpf-prog")
}

/// The number and the name of a program.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Program {
    pub id: u32,
    pub name: Option<String>,
    /// The kernel's hash of its instructions, as bpftool shows it.
    pub tag: Option<String>,
}

/// All loaded programs by their numbers; empty without the right to see them.
pub fn programs() -> HashMap<u32, Program> {
    let infos = loaded_programs().filter_map(Result::ok);
    let programs = infos.map(|info| Program {
        id: info.id(),
        name: info.name_as_str().map(str::to_owned),
        tag: Some(format!("{:016x}", info.tag())),
    });
    programs.map(|program| (program.id, program)).collect()
}

/// The pins of links and programs, by the number of the link or program.
#[derive(Debug, Default)]
pub struct Pins {
    pub links: HashMap<u32, Vec<PathBuf>>,
    pub programs: HashMap<u32, Vec<PathBuf>>,
}

impl Pins {
    /// Netkit links and programs in all BPF file systems of this mount namespace.
    pub fn find() -> Self {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let mut folders: Vec<PathBuf> = mounts.lines().filter_map(bpf_mount).collect();
        let mut pins = Self::default();
        let mut left = LIMIT;
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                    Ok(kind) if kind.is_file() && left > 0 => {
                        left -= 1;
                        pins.add(entry.path());
                    }
                    _ => {}
                }
            }
        }
        for paths in pins.links.values_mut().chain(pins.programs.values_mut()) {
            paths.sort();
            paths.dedup();
        }
        pins
    }

    fn add(&mut self, path: PathBuf) {
        if let Some(id) = link_at(&path) {
            self.links.entry(id).or_default().push(path);
        } else if let Some(id) = program_at(&path) {
            self.programs.entry(id).or_default().push(path);
        }
    }

    pub fn of_link(&self, id: u32) -> Vec<PathBuf> {
        self.links.get(&id).cloned().unwrap_or_default()
    }

    pub fn of_program(&self, id: u32) -> Vec<PathBuf> {
        self.programs.get(&id).cloned().unwrap_or_default()
    }
}

fn link_at(path: &Path) -> Option<u32> {
    let pinned = PinnedNetkitLink::from_pin(path).ok()?;
    Some(pinned.link().info().ok()?.id)
}

/// The number of the program of any type that is pinned at a path.
pub fn program_at(path: &Path) -> Option<u32> {
    // A program of any type: the caller checks the type.
    let program = SchedClassifier::from_pin(path).ok()?;
    let fd = program.fd().ok()?.as_fd();
    let id = is_program(fd).ok()?.then(|| program.info().ok())??.id();
    Some(id)
}

/// "30 24 0:27 / /sys/fs/bpf rw - bpf bpf rw": field 5 is the mount point, the word after the single dash is the type.
fn bpf_mount(line: &str) -> Option<PathBuf> {
    let (fields, rest) = line.split_once(" - ")?;
    rest.starts_with("bpf ").then_some(())?;
    fields.split(' ').nth(4).map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts() {
        let line = "30 24 0:27 / /sys/fs/bpf rw,nosuid - bpf bpf rw,mode=700";
        assert_eq!(bpf_mount(line), Some(PathBuf::from("/sys/fs/bpf")));
        assert_eq!(bpf_mount("30 24 0:27 / /bpf rw - ext4 bpf rw"), None);
        assert_eq!(bpf_mount("30 24 0:27 / /sys/fs/bpf rw"), None);
    }

    #[test]
    fn no_bpf_fs() {
        assert!(!is_bpf_fs(Path::new("/proc")));
        assert!(!is_bpf_fs(Path::new("/no/such/path")));
    }
}
