// SPDX-License-Identifier: GPL-2.0
//! The command `netkit-rs`, as a test runs it: the binary beside this one, in the namespaces of the test.

use std::env;
use std::fmt;
use std::fs;
use std::fs::File;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::Output;
use std::process::Stdio;

use anyhow::bail;
use anyhow::Context;
use anyhow::Result;
use aya::include_bytes_aligned;
use nix::mount::mount;
use nix::mount::umount;
use nix::mount::MsFlags;
use serde_json::Value;

use crate::bpf;
use crate::bpf::prog::Prog;
use crate::netns::Ns;

/// The programs of bpf/command.c.
pub const OBJECT: &[u8] = include_bytes_aligned!(concat!(env!("OUT_DIR"), "/command.o"));

/// Nobody's, by any distribution's custom.
const NOBODY: u32 = 65534;

pub fn binary() -> Result<PathBuf> {
    let own = env::current_exe().context("cannot tell where this program lies")?;
    let path = own.with_file_name("netkit-rs");
    match path.is_file() {
        true => Ok(path),
        false => bail!("there is no {}: `make tools` builds it", path.display()),
    }
}

/// What came out of it.
pub struct Ran {
    line: String,
    pub status: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl fmt::Display for Ran {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            line,
            status,
            stdout,
            stderr,
        } = self;
        write!(f, "`{line}`: {status:?} {stdout:?} {stderr:?}")
    }
}

/// A command line; arguments are separated by spaces.
fn prepared(line: &str) -> Result<Command> {
    let mut command = Command::new(binary()?);
    command.args(line.split_whitespace());
    Ok(command)
}

fn ran(line: &str, output: Output) -> Ran {
    Ran {
        line: line.to_owned(),
        status: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Runs it to its end.
pub fn run(line: &str) -> Result<Ran> {
    Ok(ran(line, prepared(line)?.output()?))
}

/// Runs it as the user nobody.
pub fn run_as_nobody(line: &str) -> Result<Ran> {
    let output = prepared(line)?.uid(NOBODY).gid(NOBODY).output()?;
    Ok(ran(line, output))
}

/// Starts it and does not wait.
pub fn start(line: &str) -> Result<Child> {
    let mut command = prepared(line)?;
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    Ok(command.spawn()?)
}

pub fn end(line: &str, child: Child) -> Result<Ran> {
    Ok(ran(line, child.wait_with_output()?))
}

/// Runs it, and it must succeed.
pub fn good(line: &str) -> Result<Ran> {
    succeeded(run(line)?)
}

/// `load` without a name, which must find this module beside the command: a copy of both, lying as a build puts those of the
/// stock kernel.
pub fn load_beside(module: &Path) -> Result<Ran> {
    let built = Path::new("/tmp/built");
    let (command, beside) = (built.join("release/netkit-rs"), built.join("module"));
    fs::create_dir_all(built.join("release"))?;
    fs::create_dir_all(&beside)?;
    fs::copy(binary()?, &command).context("copying the command")?;
    fs::copy(module, beside.join("netkit_rs.ko")).context("copying the module")?;
    succeeded(ran("load", Command::new(command).arg("load").output()?))
}

fn succeeded(ran: Ran) -> Result<Ran> {
    if ran.status != Some(0) || !ran.stderr.is_empty() {
        bail!("{ran}");
    }
    Ok(ran)
}

/// Runs it with --json, and it must succeed.
pub fn json(line: &str) -> Result<Value> {
    let ran = good(&format!("--json {line}"))?;
    serde_json::from_str(&ran.stdout).with_context(|| ran.to_string())
}

impl Ran {
    /// It must have failed with this exit status, and its message must contain all the words.
    pub fn refused(&self, status: i32, words: &[&str]) -> Result<()> {
        let missing = words.iter().find(|word| !self.stderr.contains(**word));
        if let (true, None) = (self.status == Some(status), missing) {
            return Ok(());
        }
        bail!("expected status {status} and {words:?}: {self}")
    }
}

/// Runs it, and it must fail: in words, and in JSON with the same message.
pub fn refused(line: &str, status: i32, words: &[&str]) -> Result<()> {
    run(line)?.refused(status, words)?;
    let ran = run(&format!("--json {line}"))?;
    ran.refused(status, words)?;
    // Usage errors are found before the command knows that JSON is wanted.
    if ran.stdout.is_empty() && status == 2 {
        return Ok(());
    }
    let value: Value = serde_json::from_str(&ran.stdout).with_context(|| ran.to_string())?;
    let kinds = [
        (1, "failed"),
        (2, "usage"),
        (3, "permission"),
        (4, "absent"),
        (5, "conflict"),
        (6, "timeout"),
    ];
    let kind = kinds.iter().find(|(code, _)| *code == status);
    if value["error"]["kind"].as_str() != kind.map(|(_, name)| *name) {
        bail!("kind of {ran}");
    }
    let message = value["error"]["message"].as_str().unwrap_or_default();
    match ran.stderr.trim_end() == format!("netkit-rs: {message}") {
        true => Ok(()),
        false => bail!("message of {ran}"),
    }
}

/// The programs of bpf/command.c as a file in /tmp, which disappears with the machine.
pub fn object() -> Result<&'static str> {
    const PATH: &str = "/tmp/command.bpf.o";
    fs::write(PATH, OBJECT).context(PATH)?;
    Ok(PATH)
}

pub fn pin_program(prog: &Prog, path: &Path) -> Result<()> {
    bpf::pin(prog, path).with_context(|| format!("pinning at {}", path.display()))
}

/// A map of maps, whose type has the number that netkit links have among links.
pub fn pin_map_of_maps(path: &Path) -> Result<()> {
    let inner = map(libbpf_sys::BPF_MAP_TYPE_ARRAY, 0)?;
    let kind = libbpf_sys::BPF_MAP_TYPE_HASH_OF_MAPS;
    if kind != libbpf_sys::BPF_LINK_TYPE_NETKIT {
        bail!("the numbers are not the same any more");
    }
    let map = map(kind, inner.as_raw_fd() as u32)?;
    bpf::pin(map, path).with_context(|| format!("pinning at {}", path.display()))
}

fn map(kind: u32, inner: u32) -> Result<std::os::fd::OwnedFd> {
    use std::os::fd::FromRawFd;
    let opts = libbpf_sys::bpf_map_create_opts {
        sz: size_of::<libbpf_sys::bpf_map_create_opts>() as _,
        inner_map_fd: inner,
        ..Default::default()
    };
    // SAFETY: the name is a C string, and the options outlive the call.
    let fd = unsafe { libbpf_sys::bpf_map_create(kind, c"test".as_ptr(), 4, 4, 1, &opts) };
    if fd < 0 {
        bail!("a map of type {kind}: {fd}");
    }
    // SAFETY: bpf(2) has just made this descriptor for us; nobody else owns it.
    Ok(unsafe { std::os::fd::OwnedFd::from_raw_fd(fd) })
}

/// Puts a text over a file, in the test's mount namespace.
pub fn cover(path: &str, text: &str) -> Result<()> {
    let source = format!("/tmp/cover-{}", path.replace('/', "-"));
    fs::write(&source, text)?;
    bind(&source, Path::new(path))
}

/// Puts an empty folder over a folder, in the test's mount namespace.
pub fn hide(folder: &str) -> Result<()> {
    let none: Option<&str> = None;
    mount(Some("test"), folder, Some("tmpfs"), MsFlags::empty(), none)
        .with_context(|| format!("mounting at {folder}"))
}

fn bind(source: &str, path: &Path) -> Result<()> {
    let none: Option<&str> = None;
    mount(Some(source), path, none, MsFlags::MS_BIND, none)
        .with_context(|| format!("mounting at {}", path.display()))
}

/// A name under /run/netns, as `ip netns add` gives one; seen in the test's mount namespace only.
pub struct Name {
    path: PathBuf,
}

impl Name {
    pub fn give(ns: &Ns, name: &str) -> Result<Self> {
        let folder = Path::new("/run/netns");
        fs::create_dir_all(folder)?;
        let path = folder.join(name);
        File::create(&path).with_context(|| path.display().to_string())?;
        let source = format!("/proc/self/fd/{}", ns.as_fd().as_raw_fd());
        bind(&source, &path)?;
        Ok(Self { path })
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        // A test that fails here would hide why it failed.
        let _unmounted = umount(&self.path).is_ok() && fs::remove_file(&self.path).is_ok();
    }
}
