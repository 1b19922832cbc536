// SPDX-License-Identifier: GPL-2.0
//! `ETHTOOL_GDRVINFO`, the only ethtool request that netkit handles. The kernel holds the device's instance lock for
//! it, not RTNL.

use std::net::UdpSocket;
use std::os::fd::AsRawFd;

use anyhow::Context;
use anyhow::Result;
use nix::errno::Errno;

use crate::netns::Ns;

const SIOCETHTOOL: u64 = 0x8946;
const ETHTOOL_GDRVINFO: u32 = 3;

/// `struct ethtool_drvinfo`.
#[repr(C)]
struct Info {
    command: u32,
    driver: [u8; 32],
    version: [u8; 32],
    firmware: [u8; 32],
    bus: [u8; 32],
    rest: [u8; 64],
}

/// The name of a device's driver.
pub fn driver(ns: &Ns, name: &str) -> Result<String> {
    let mut info = Info {
        command: ETHTOOL_GDRVINFO,
        driver: [0; 32],
        version: [0; 32],
        firmware: [0; 32],
        bus: [0; 32],
        rest: [0; 64],
    };
    // SAFETY: an all-zero ifreq is valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    request.ifr_ifru.ifru_data = (&raw mut info).cast();
    let socket = ns.run(|| Ok(UdpSocket::bind("0.0.0.0:0")?))?;
    // SAFETY: the request and what it points at outlive the call, with the length that the kernel expects.
    let ret = unsafe { libc::ioctl(socket.as_raw_fd(), SIOCETHTOOL as _, &raw mut request) };
    Errno::result(ret).context("ETHTOOL_GDRVINFO")?;
    let end = info.driver.iter().position(|byte| *byte == 0);
    Ok(String::from_utf8_lossy(&info.driver[..end.unwrap_or(32)]).into_owned())
}
