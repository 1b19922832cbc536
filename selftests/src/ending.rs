// SPDX-License-Identifier: GPL-2.0
//! Ending the machine while the module is loaded and its devices carry traffic: by reboot(2), or by kexec into a kernel
//! of the same kind. scripts/test-endings judges the result by the serial console.
//!
//! Another ending removes the module by force first. This taints the kernel, so the machine cannot be used for other
//! tests.

use std::ffi::CString;
use std::fs;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::thread::sleep;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::ensure;
use anyhow::Context;
use anyhow::Result;
use clap::Subcommand;
use nix::errno::Errno;
use nix::kmod::delete_module;
use nix::kmod::DeleteModuleFlags;
use nix::sys::reboot::reboot;
use nix::sys::reboot::RebootMode;

use crate::bpf::link::Link;
use crate::bpf::mprog;
use crate::bpf::mprog::Place;
use crate::bpf::prog::Prog;
use crate::bpf::PEER;
use crate::bpf::PRIMARY;
use crate::check;
use crate::ctx::HOST4;
use crate::ctx::POD4;
use crate::kmsg::Kmsg;
use crate::module;
use crate::netkit::Pair;
use crate::netkit::Spec;
use crate::netkit::NEXT;
use crate::netns::Ns;
use crate::traffic;

#[derive(Subcommand)]
pub enum Ending {
    /// End this machine by reboot(2), with devices alive
    Reboot {
        /// Where to write the exit status of the run
        #[arg(long)]
        status: PathBuf,
    },
    /// End this machine by kexec into this kernel, with devices alive
    Kexec {
        /// Where to write the exit status of the run
        #[arg(long)]
        status: PathBuf,
        #[arg(long)]
        kernel: PathBuf,
    },
    /// Remove the module by force while it is in use, see that all goes on, and end this machine by reboot(2)
    Forced {
        /// Where to write the exit status of the run
        #[arg(long)]
        status: PathBuf,
    },
}

/// What lives on to the end.
struct Alive {
    host: Ns,
    pod: Ns,
    pair: Pair,
    link: Link,
}

fn devices(path: &Path, status: &Path) -> Result<Alive> {
    module::load(path)?;
    let host = Ns::enter_new()?;
    let pod = Ns::new()?;
    let pair = Spec::l3().create(&host, &pod)?;
    host.add_address(pair.primary, HOST4.into(), 24)?;
    pod.add_address(pair.peer, POD4.into(), 24)?;
    host.up(pair.primary)?;
    pod.up(pair.peer)?;
    pod.running(pair.peer)?;
    let prog = Prog::returning(NEXT)?;
    let link = Link::create(&prog, pair.primary, PRIMARY, Place::default())?;
    mprog::attach(&prog, pair.primary, PEER, Place::default())?;
    traffic::udp_exchange(&host, &pod, POD4.into(), 100)?;
    // Before the traffic, beside which the follower of the log may not get there.
    last_line(status)?;
    let ends = [
        traffic::udp_sender(&host, POD4.into())?,
        traffic::udp_sender(&pod, HOST4.into())?,
    ];
    for end in ends {
        thread::spawn(move || loop {
            // Until the CPU stops.
            let _sent_or_not = end.send(&[0; 200]);
        });
    }
    sleep(Duration::from_millis(300));
    ensure!(host.stats(pair.primary)?.tx_packets > 100, "no traffic");
    Ok(Alive {
        host,
        pod,
        pair,
        link,
    })
}

/// What scripts/guest/init writes to the log at the end of an ordinary run.
fn last_line(status: &Path) -> Result<()> {
    let taint = fs::read_to_string("/proc/sys/kernel/tainted")?;
    let line = format!("<6>netkit-rs-vm: end of run, tainted {}\n", taint.trim());
    fs::write("/dev/kmsg", line).context("/dev/kmsg")?;
    let log = status.with_file_name("kmsg");
    check::soon("the log has its last line", || {
        Ok(fs::read_to_string(&log)?.contains("netkit-rs-vm: end of run"))
    })
}

/// A root file system in memory, for the second kernel: its init says that it runs, and reboots.
fn initrd() -> Result<File> {
    const INIT: &str =
        "#!/bin/busybox sh\necho 'netkit-rs-vm: the second kernel runs its init' >/dev/console\n\
        /bin/busybox sleep 1\n/bin/busybox reboot -f\n";
    let root = Path::new("/tmp/second");
    fs::create_dir_all(root.join("bin"))?;
    fs::copy("/usr/bin/busybox", root.join("bin/busybox")).context("busybox")?;
    fs::write(root.join("init"), INIT)?;
    fs::set_permissions(root.join("init"), fs::Permissions::from_mode(0o755))?;
    let pack = "printf '%s\\n' . bin bin/busybox init | busybox cpio -o -H newc >/tmp/initrd";
    let packed = Command::new("sh")
        .args(["-c", pack])
        .current_dir(root)
        .status()?;
    ensure!(packed.success(), "cpio: {packed}");
    File::open("/tmp/initrd").context("the packed root")
}

fn load_kernel(kernel: &Path) -> Result<()> {
    let consoles = fs::read_to_string("/proc/cmdline")?;
    let consoles = consoles.split_whitespace();
    let consoles: Vec<_> = consoles
        .filter(|word| word.starts_with("console="))
        .collect();
    let line = format!("{} rdinit=/init panic=-1 loglevel=7", consoles.join(" "));
    let line = CString::new(line)?;
    let (kernel, initrd) = (File::open(kernel).context("the kernel")?, initrd()?);
    // SAFETY: the command line is a C string of this length, NUL included, which outlives the call.
    let ret = unsafe {
        libc::syscall(
            libc::SYS_kexec_file_load,
            kernel.as_raw_fd(),
            initrd.as_raw_fd(),
            line.as_bytes_with_nul().len(),
            line.as_ptr(),
            0,
        )
    };
    Errno::result(ret).map(drop).context("kexec_file_load")
}

/// `rmmod -f`, from a thread that does not come back as long as the livepatch is enabled.
fn remove_by_force() -> Result<JoinHandle<nix::Result<()>>> {
    const STAYS: &str = "netkit_rs: forced removal while the livepatch is in use";
    let mut kmsg = Kmsg::tail()?;
    let mut told = false;
    let flags = DeleteModuleFlags::O_NONBLOCK | DeleteModuleFlags::O_TRUNC;
    let remover = thread::spawn(move || delete_module(c"netkit_rs", flags));
    check::soon("the module says that it stays", || {
        told |= kmsg.lines().iter().any(|line| line.contains(STAYS));
        Ok(told || remover.is_finished())
    })?;
    ensure!(told, "the module did not say that it stays");
    sleep(Duration::from_secs(2));
    ensure!(!remover.is_finished(), "rmmod -f came back");
    Ok(remover)
}

/// The module is removed by force, but stays. When the livepatch is disabled, the module is removed, and the
/// built-in driver has its devices.
fn removed_by_force(alive: &Alive) -> Result<()> {
    let remover = remove_by_force()?;
    let kallsyms = fs::read_to_string("/proc/kallsyms")?;
    ensure!(kallsyms.contains("[netkit_rs]"), "the code is gone");
    all_works(alive)?;
    module::disable()?;
    check::soon("the module goes", || Ok(remover.is_finished()))?;
    ensure!(!module::is_loaded(), "the module is still there");
    all_works(alive)
}

/// Everything works as before.
fn all_works(alive: &Alive) -> Result<()> {
    let (host, pod, pair) = (&alive.host, &alive.pod, &alive.pair);
    let before = host.stats(pair.primary)?;
    check::soon("traffic goes on", || {
        let sent = host.stats(pair.primary)?.since(&before);
        Ok(sent.tx_packets > 1000 && sent.rx_packets > 1000)
    })?;
    check::equal(
        "the link's device",
        alive.link.info()?.ifindex,
        pair.primary,
    )?;
    let prog = Prog::returning(NEXT)?;
    for hook in [PRIMARY, PEER] {
        let link = Link::create(&prog, pair.primary, hook, Place::default())?;
        link.detach()?;
    }
    let other = Spec::l2().create_as("a", "b", host, pod)?;
    host.set_mtu(other.primary, 1400)?;
    Ok(host.del_link(other.primary)?)
}

pub fn end(ending: &Ending, module: &Path) -> Result<()> {
    let (status, how) = match ending {
        Ending::Reboot { status } => (status, RebootMode::RB_AUTOBOOT),
        Ending::Kexec { status, kernel } => {
            load_kernel(kernel)?;
            (status, RebootMode::RB_KEXEC)
        }
        Ending::Forced { status } => (status, RebootMode::RB_AUTOBOOT),
    };
    let alive = devices(module, status)?;
    if matches!(ending, Ending::Forced { .. }) {
        removed_by_force(&alive)?;
    }
    fs::write(status, "0\n").context("the status")?;
    nix::unistd::sync();
    reboot(how).map(|never| match never {}).context("reboot(2)")
}
