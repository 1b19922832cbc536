// SPDX-License-Identifier: GPL-2.0
//! All network namespaces, each with the name that people know.
//!
//! Names come from /run/netns, from processes, and from other mounts of a namespace. A namespace that only a descriptor holds
//! has no name. The kernel lists such a namespace (listns(2), since 6.19); an older kernel does not, so the descriptors of all
//! processes are searched. A namespace that only a socket holds is not found.

use std::collections::HashSet;
use std::fmt;
use std::fs;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::path::PathBuf;
use std::thread;

use anyhow::anyhow;
use anyhow::Context;
use anyhow::Result;
use nix::errno::Errno;
use nix::sched::setns;
use nix::sched::CloneFlags;
use nix::sys::statfs::fstatfs;
use serde::Serialize;

use crate::failure::Kind;
use crate::listns;

const OWN: &str = "/proc/thread-self/ns/net";
const NAMED: &str = "/run/netns";

/// An open network namespace.
#[derive(Debug)]
pub struct Namespace {
    file: File,
    pub identity: Identity,
}

/// What distinguishes a namespace from others.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Identity {
    /// The number in `net:[…]`.
    pub inode: u64,
    /// Whether the command runs in this namespace.
    pub current: bool,
    /// Its name under /run/netns.
    pub name: Option<String>,
    /// A process in it.
    pub pid: Option<u32>,
    /// Where it is mounted, if it has no name.
    pub path: Option<PathBuf>,
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self { current: true, .. } => f.write_str("this namespace"),
            Self {
                name: Some(name), ..
            } => f.write_str(name),
            Self { pid: Some(pid), .. } => write!(f, "/proc/{pid}/ns/net"),
            Self {
                path: Some(path), ..
            } => write!(f, "{}", path.display()),
            Self { inode, .. } => write!(f, "net:[{inode}], which only a descriptor holds"),
        }
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.identity.fmt(f)
    }
}

impl AsFd for Namespace {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Namespace {
    /// The namespace of the calling thread.
    pub fn current() -> Result<Self> {
        let mut own = Self::open(Path::new(OWN))?
            .ok_or_else(|| anyhow!("{OWN} is not a network namespace"))?;
        own.identity.current = true;
        Ok(own)
    }

    /// `None` for another file, such as the empty file that stays in /run/netns after an unmount.
    fn open(path: &Path) -> Result<Option<Self>> {
        let file = File::open(path).with_context(|| path.display().to_string())?;
        Self::from_file(file).with_context(|| path.display().to_string())
    }

    fn from_file(file: File) -> io::Result<Option<Self>> {
        if fstatfs(&file)?.filesystem_type().0 != libc::NSFS_MAGIC {
            return Ok(None);
        }
        let identity = Identity {
            inode: file.metadata()?.ino(),
            ..Identity::default()
        };
        Ok(Some(Self { file, identity }))
    }

    /// The namespace with a name under /run/netns, or at a path.
    pub fn by_name(name: &str) -> Result<Self> {
        let path = match name.contains('/') {
            true => PathBuf::from(name),
            false => Path::new(NAMED).join(name),
        };
        let found = match Self::open(&path) {
            Ok(found) => found,
            Err(error) => {
                return Err(Kind::Absent.error(format!(
                    "there is no network namespace {name} ({error:#}); `ip netns` lists those with names"
                )))
            }
        };
        let mut found = found.ok_or_else(|| {
            Kind::Absent.error(format!("{} is not a network namespace", path.display()))
        })?;
        let identity = &mut found.identity;
        identity.current = identity.inode == Self::current()?.identity.inode;
        match path.starts_with(NAMED) {
            true => {
                identity.name = path
                    .file_name()
                    .map(|name| name.to_string_lossy().into_owned())
            }
            false => identity.path = Some(path),
        }
        Ok(found)
    }

    /// Moves the calling thread into the namespace. The thread stays there.
    pub fn join(&self) -> Result<()> {
        match setns(&self.file, CloneFlags::CLONE_NEWNET) {
            Err(Errno::EPERM) => Err(Kind::Permission.error(
                "looking into other network namespaces needs root: run the same command with sudo",
            )),
            joined => joined.with_context(|| format!("cannot enter the network namespace {self}")),
        }
    }

    /// Runs `work` in the namespace, in a thread of its own, so that the namespace of this thread does not change.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        if self.identity.current {
            return work();
        }
        thread::scope(|scope| {
            let thread = scope.spawn(|| {
                self.join()?;
                work()
            });
            let joined = thread.join();
            joined.unwrap_or_else(|_| {
                Err(anyhow!("looking into the network namespace {self} failed"))
            })
        })
    }

    /// All namespaces that can be found. The current namespace is the first.
    pub fn all() -> Result<Vec<Self>> {
        let mut all = Collection::default();
        all.add(Self::current()?, Identity::default());
        for path in entries(NAMED) {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let name = Some(name.into_owned());
            all.add_path(&path, |identity| identity.name = name);
        }
        let processes: Vec<u32> = entries("/proc")
            .filter_map(|path| path.file_name()?.to_str()?.parse().ok())
            .collect();
        for pid in &processes {
            let path = PathBuf::from(format!("/proc/{pid}/ns/net"));
            all.add_path(&path, |identity| identity.pid = Some(*pid));
        }
        for path in mounted() {
            all.add_path(&path, |identity| identity.path = Some(path.clone()));
        }
        match listns::network_namespaces() {
            Ok(files) => files.into_iter().for_each(|file| all.add_file(file)),
            // An older kernel, or not root: the namespaces of those descriptors that we may read.
            Err(_) => {
                let folders = processes.iter().map(|pid| format!("/proc/{pid}/fd"));
                for path in folders.flat_map(entries) {
                    let link = fs::read_link(&path).unwrap_or_default();
                    if link.to_string_lossy().starts_with("net:[") {
                        all.add_path(&path, |_| {});
                    }
                }
            }
        }
        Ok(all.found)
    }
}

/// Namespaces without duplicates. A namespace that ends in the meantime is left out.
#[derive(Default)]
struct Collection {
    found: Vec<Namespace>,
    seen: HashSet<u64>,
}

impl Collection {
    fn add_path(&mut self, path: &Path, name: impl FnOnce(&mut Identity)) {
        if let Ok(Some(namespace)) = Namespace::open(path) {
            let mut identity = Identity::default();
            name(&mut identity);
            self.add(namespace, identity);
        }
    }

    fn add_file(&mut self, file: File) {
        if let Ok(Some(namespace)) = Namespace::from_file(file) {
            self.add(namespace, Identity::default());
        }
    }

    fn add(&mut self, mut namespace: Namespace, name: Identity) {
        let inode = namespace.identity.inode;
        if !self.seen.insert(inode) {
            // The current namespace has a name, too.
            let known = self
                .found
                .iter_mut()
                .find(|one| one.identity.inode == inode);
            if let Some(Namespace { identity, .. }) = known {
                identity.name = identity.name.take().or(name.name);
            }
            return;
        }
        let current = namespace.identity.current;
        namespace.identity = Identity {
            inode,
            current,
            ..name
        };
        self.found.push(namespace);
    }
}

fn entries(folder: impl AsRef<Path>) -> impl Iterator<Item = PathBuf> {
    let folder = fs::read_dir(folder).into_iter().flatten().flatten();
    folder.map(|entry| entry.path())
}

/// Where namespaces are mounted, in this mount namespace.
fn mounted() -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    mounts.lines().filter_map(namespace_mount).collect()
}

/// "36 25 0:4 net:[4026532177] /run/docker/netns/x rw - nsfs nsfs rw": root and mount point are the fields 4 and 5.
fn namespace_mount(line: &str) -> Option<PathBuf> {
    let mut fields = line.split(' ').skip(3);
    fields.next()?.starts_with("net:[").then_some(())?;
    fields.next().map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_of_namespaces() {
        let line = "36 25 0:4 net:[4026532177] /run/docker/netns/x rw shared:1 - nsfs nsfs rw";
        assert_eq!(
            namespace_mount(line),
            Some(PathBuf::from("/run/docker/netns/x"))
        );
        assert_eq!(
            namespace_mount("36 25 0:4 mnt:[4026532177] /run/x rw - nsfs nsfs rw"),
            None
        );
        assert_eq!(
            namespace_mount("36 25 8:1 / / rw - ext4 /dev/sda1 rw"),
            None
        );
        assert_eq!(namespace_mount(""), None);
    }

    #[test]
    fn this_one_is_among_all() -> Result<()> {
        let own = Namespace::current()?.identity.inode;
        let all = Namespace::all()?;
        let current: Vec<_> = all.iter().filter(|one| one.identity.current).collect();
        assert_eq!(current.len(), 1);
        assert_eq!(current[0].identity.inode, own);
        Ok(())
    }

    #[test]
    fn this_one_by_its_path() -> Result<()> {
        let own = Namespace::by_name("/proc/self/ns/net")?;
        assert!(own.identity.current);
        assert_eq!(own.identity.path, Some(PathBuf::from("/proc/self/ns/net")));
        Ok(())
    }

    #[test]
    fn a_file_is_no_namespace() {
        let error = Namespace::by_name("/dev/null").expect_err("an error");
        assert_eq!(Kind::of(&error), Kind::Absent);
        let error = Namespace::by_name("no such name").expect_err("an error");
        assert_eq!(Kind::of(&error), Kind::Absent);
    }
}
