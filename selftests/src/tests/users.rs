// SPDX-License-Identifier: GPL-2.0
//! User namespaces: the root of a user namespace may have pairs there, and may do nothing in the namespaces of others.

use std::os::fd::AsFd;
use std::os::fd::AsRawFd;

use anyhow::bail;
use anyhow::Context;
use anyhow::Result;
use nix::errno::Errno;
use nix::sched::unshare;
use nix::sched::CloneFlags;
use nix::sys::wait::waitpid;
use nix::sys::wait::WaitStatus;
use nix::unistd::fork;
use nix::unistd::ForkResult;

use crate::check;
use crate::ctx::Ctx;
use crate::netkit::Spec;
use crate::nl::link::ifinfomsg;
use crate::nl::link::linkinfo;
use crate::nl::Netlink;

tests![
    pair_of_ones_own,
    peer_in_the_hosts_namespace,
    programs_need_more
];

/// Runs `f` in a process that is root of new user and network namespaces only, and
/// answers the errno that it gave, 0 for success.
fn as_guest(f: impl FnOnce() -> Result<(), Errno>) -> Result<i32> {
    // SAFETY: a test's process has one thread, so the child may do all that it may.
    match unsafe { fork() }.context("fork")? {
        ForkResult::Child => {
            let result =
                unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET).and_then(|()| f());
            std::process::exit(result.map_or_else(|errno| errno as i32, |()| 0))
        }
        ForkResult::Parent { child } => match waitpid(child, None).context("waitpid")? {
            WaitStatus::Exited(_, code) => Ok(code),
            other => bail!("guest ended with {other:?}"),
        },
    }
}

fn create(spec: &Spec) -> Result<(), Errno> {
    let netlink = Netlink::open().map_err(|_| Errno::EIO)?;
    let mut attrs = spec.link.clone();
    let mut data = spec.data.clone();
    if let Some(peer) = &spec.peer {
        data.nest(crate::netkit::PEER_INFO, &ifinfomsg(0, 0, 0), peer);
    }
    attrs.append(&linkinfo(crate::netkit::KIND, Some(&data)));
    let answer = netlink.new_link(&ifinfomsg(0, 0, 0), &attrs);
    answer.map_err(|refusal| refusal.errno)
}

fn pair_of_ones_own(_: &Ctx) -> Result<()> {
    let code = as_guest(|| create(&Spec::l2().name("left").peer("right")))?;
    check::equal("errno", code, 0)
}

fn peer_in_the_hosts_namespace(t: &Ctx) -> Result<()> {
    let fd = t.host.as_fd().as_raw_fd() as u32;
    let into_host = Spec::l2().with_peer(|peer| peer.u32(libc::IFLA_NET_NS_FD, fd));
    let code = as_guest(|| create(&into_host))?;
    check::equal("errno for the peer", code, Errno::EPERM as i32)?;
    let primary = Spec::l2().with(|link| link.u32(libc::IFLA_NET_NS_FD, fd));
    let code = as_guest(|| create(&primary))?;
    check::equal("errno for the primary", code, Errno::EPERM as i32)?;
    let left = crate::netkit::devices(&t.host)?.len();
    check::equal("devices of the host", left, 0)
}

/// Loading a program is not for guests at all.
fn programs_need_more(_: &Ctx) -> Result<()> {
    let code = as_guest(|| crate::bpf::prog::Prog::returning(0).map(drop))?;
    check::equal("errno", code, Errno::EPERM as i32)
}
