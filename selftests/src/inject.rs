// SPDX-License-Identifier: GPL-2.0
//! Sending packets of any shape through a device, and receiving everything that comes out of a device.
//!
//! A tun device passes on packets of any length without an Ethernet header. A packet socket with a virtio-net header
//! makes packets with pages or segments. A tap shows every frame of a device.

use std::fs::File;
use std::fs::OpenOptions;
use std::io::Write;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::os::fd::OwnedFd;
use std::process::Command;

use anyhow::ensure;
use anyhow::Context;
use anyhow::Result;
use nix::errno::Errno;
use nix::sched::sched_setaffinity;
use nix::sched::CpuSet;
use nix::sys::socket;
use nix::sys::socket::AddressFamily;
use nix::sys::socket::ControlMessageOwned;
use nix::sys::socket::LinkAddr;
use nix::sys::socket::MsgFlags;
use nix::sys::socket::SockFlag;
use nix::sys::socket::SockType;
use nix::unistd::Pid;

use crate::check;
use crate::netns::Ns;

pub fn tc(args: &str) -> Result<()> {
    run("tc", args)
}

pub fn ip(args: &str) -> Result<()> {
    run("ip", args)
}

fn run(program: &str, args: &str) -> Result<()> {
    let output = Command::new(program).args(args.split(' ')).output();
    let output = output.with_context(|| format!("running {program}"))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program} {args}: {errors}");
    Ok(())
}

/// Loads a module, with parameters if they follow its name.
pub fn modprobe(module: &str) -> Result<()> {
    let loaded = Command::new("modprobe").args(module.split(' ')).status();
    let loaded = loaded.context("running modprobe")?;
    ensure!(loaded.success(), "modprobe {module}: {loaded}");
    Ok(())
}

/// One CPU only: packets come out in the order in which they went in.
pub fn stay_on_one_cpu() -> Result<()> {
    stay_on_cpu(0)
}

/// The calling thread only.
pub fn stay_on_cpu(cpu: usize) -> Result<()> {
    let mut cpus = CpuSet::new();
    cpus.set(cpu)?;
    Ok(sched_setaffinity(Pid::from_raw(0), &cpus)?)
}

/// The calling thread comes before all that run without a real-time priority, until it sleeps.
pub fn overtake() -> Result<()> {
    let first = libc::sched_param { sched_priority: 1 };
    // SAFETY: the parameters are valid.
    let ret = unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &first) };
    Errno::result(ret).map(drop).context("SCHED_FIFO")
}

/// tun0, without Ethernet headers, in the calling thread's namespace.
pub struct Tun(File);

impl Tun {
    pub fn open() -> Result<Self> {
        const IFF_TUN: i16 = 1;
        Ok(Self(tun_device("tun0", IFF_TUN)?))
    }

    /// A packet as if tun0 had received it.
    pub fn write(&mut self, protocol: u16, packet: &[u8]) -> Result<()> {
        // struct tun_pi: flags, then the protocol.
        let [high, low] = protocol.to_be_bytes();
        let packet = [[0, 0, high, low].as_slice(), packet].concat();
        self.0.write_all(&packet).context("writing to tun0")
    }
}

/// A device of the tun driver in the calling thread's namespace; it goes with its descriptor.
pub fn tun_device(name: &str, flags: i16) -> Result<File> {
    // Its device node comes with the driver.
    modprobe("tun")?;
    let tun = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/net/tun")
        .context("/dev/net/tun")?;
    // SAFETY: an all-zero ifreq is valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = flags;
    // SAFETY: the descriptor is open and the request outlives the call.
    let ret = unsafe { libc::ioctl(tun.as_raw_fd(), libc::TUNSETIFF, &request) };
    Errno::result(ret).context("TUNSETIFF")?;
    Ok(tun)
}

fn packet_socket(ns: &Ns, flags: SockFlag) -> Result<OwnedFd> {
    ns.run(|| {
        Ok(socket::socket(
            AddressFamily::Packet,
            SockType::Raw,
            flags,
            None,
        )?)
    })
    .context("packet socket")
}

fn address(ifindex: u32, protocol: u16) -> libc::sockaddr_ll {
    // SAFETY: an all-zero sockaddr_ll is valid.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_ifindex = ifindex as i32;
    address.sll_protocol = protocol.to_be();
    address
}

/// An option of packet sockets.
fn switch_on(socket: &OwnedFd, option: libc::c_int) -> Result<(), Errno> {
    set_option(socket, libc::SOL_PACKET, option, 1)
}

/// An option that nix does not know.
fn set_option(
    socket: &impl AsRawFd,
    level: libc::c_int,
    option: libc::c_int,
    value: libc::c_int,
) -> Result<(), Errno> {
    // SAFETY: the option's value outlives the call, with its true length.
    let ret = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            (&raw const value).cast(),
            size_of_val(&value) as u32,
        )
    };
    Errno::result(ret).map(drop)
}

/// Datagrams that do not fit the way are refused.
pub fn never_fragment(socket: &UdpSocket) -> Result<()> {
    let (option, value) = (libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_DO);
    set_option(socket, libc::IPPROTO_IP, option, value).context("IP_MTU_DISCOVER")
}

/// Shows every frame that a device receives or sends.
pub struct Tap(OwnedFd);

/// A frame at a packet socket.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Tapped {
    /// Where the frame goes: `PACKET_HOST`, `PACKET_OUTGOING` and so on.
    pub kind: u8,
    pub frame: Vec<u8>,
}

impl Tap {
    pub fn on(ns: &Ns, ifindex: u32) -> Result<Self> {
        Self::of(ns, ifindex, libc::ETH_P_ALL as u16)
    }

    /// Frames of one protocol only.
    pub fn of(ns: &Ns, ifindex: u32, protocol: u16) -> Result<Self> {
        let fd = packet_socket(ns, SockFlag::SOCK_NONBLOCK)?;
        socket::setsockopt(&fd, socket::sockopt::RcvBufForce, &(1 << 23))?;
        let address = address(ifindex, protocol);
        // SAFETY: the address outlives the call, with its true length.
        let ret = unsafe {
            libc::bind(
                fd.as_raw_fd(),
                (&raw const address).cast(),
                size_of_val(&address) as u32,
            )
        };
        Errno::result(ret).context("binding a packet socket")?;
        Ok(Self(fd))
    }

    /// The frames that have come.
    pub fn drain(&self) -> Result<Vec<Vec<u8>>> {
        let tapped = self.tapped()?;
        Ok(tapped.into_iter().map(|tapped| tapped.frame).collect())
    }

    /// The frames that have come, and where each goes.
    pub fn tapped(&self) -> Result<Vec<Tapped>> {
        let mut frames = Vec::new();
        let mut buffer = vec![0; 70_000];
        loop {
            match socket::recvfrom::<LinkAddr>(self.0.as_raw_fd(), &mut buffer) {
                Ok((len, from)) => frames.push(Tapped {
                    kind: from.map_or(u8::MAX, |from| from.pkttype()),
                    frame: buffer[..len].to_vec(),
                }),
                Err(Errno::EAGAIN) => return Ok(frames),
                // What a device going down leaves at its sockets.
                Err(Errno::ENETDOWN) => {}
                Err(errno) => return Err(errno).context("reading a tap"),
            }
        }
    }

    /// The frames that have come until `last` does, without it.
    pub fn until(&self, last: &[u8]) -> Result<Vec<Vec<u8>>> {
        let mut frames = Vec::new();
        check::soon("the last frame comes", || {
            frames.extend(self.drain()?);
            Ok(frames.iter().any(|frame| frame == last))
        })?;
        frames.retain(|frame| frame != last);
        Ok(frames)
    }
}

/// `struct virtio_net_hdr`: what a packet socket learns about a frame, in addition to its bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Offload {
    /// 1: a checksum is to be computed.
    pub flags: u8,
    pub gso_type: u8,
    /// The minimum number of bytes in the linear part.
    pub hdr_len: u16,
    pub gso_size: u16,
    pub csum_start: u16,
    pub csum_offset: u16,
}

impl Offload {
    pub const TCP4: u8 = 1;
    pub const UDP4: u8 = 5;

    /// Its bytes, as they stand before a frame.
    pub fn bytes(self) -> Vec<u8> {
        let mut bytes = vec![self.flags, self.gso_type];
        for half in [
            self.hdr_len,
            self.gso_size,
            self.csum_start,
            self.csum_offset,
        ] {
            bytes.extend_from_slice(&half.to_le_bytes());
        }
        bytes
    }
}

/// Sends frames as they are, each with its virtio-net header.
pub struct Frames(OwnedFd);

impl Frames {
    pub fn open(ns: &Ns) -> Result<Self> {
        let fd = packet_socket(ns, SockFlag::empty())?;
        switch_on(&fd, libc::PACKET_VNET_HDR).context("PACKET_VNET_HDR")?;
        Ok(Self(fd))
    }

    /// PACKET_QDISC_BYPASS: frames get to the driver at once. Nobody looks for their headers on the way.
    pub fn open_direct(ns: &Ns) -> Result<Self> {
        let frames = Self::open(ns)?;
        switch_on(&frames.0, libc::PACKET_QDISC_BYPASS).context("PACKET_QDISC_BYPASS")?;
        Ok(frames)
    }

    pub fn send(
        &self,
        ifindex: u32,
        protocol: u16,
        offload: Offload,
        frame: &[u8],
    ) -> Result<(), Errno> {
        let address = address(ifindex, protocol);
        let bytes = [offload.bytes().as_slice(), frame].concat();
        // SAFETY: bytes and address outlive the call, with their true lengths.
        let sent = unsafe {
            libc::sendto(
                self.0.as_raw_fd(),
                bytes.as_ptr().cast(),
                bytes.len(),
                0,
                (&raw const address).cast(),
                size_of_val(&address) as u32,
            )
        };
        Errno::result(sent).map(drop)
    }
}

/// SO_ZEROCOPY: the kernel may send a datagram from the caller's pages.
pub fn allow_zerocopy(socket: &impl AsRawFd) -> Result<()> {
    set_option(socket, libc::SOL_SOCKET, libc::SO_ZEROCOPY, 1).context("SO_ZEROCOPY")
}

/// Sends `payload`, which must stay as it is until [`zerocopy_done`].
pub fn send_zerocopy(socket: &UdpSocket, payload: &[u8]) -> Result<()> {
    let flags = MsgFlags::from_bits_retain(libc::MSG_ZEROCOPY);
    let sent = socket::send(socket.as_raw_fd(), payload, flags);
    match sent {
        // A datagram socket may report that the device dropped the packet.
        Ok(_) | Err(Errno::ENOBUFS) => Ok(()),
        Err(errno) => Err(errno).context("MSG_ZEROCOPY"),
    }
}

/// Waits until the kernel no longer needs the pages, and returns whether it copied them.
pub fn zerocopy_done(socket: &UdpSocket) -> Result<&'static str> {
    let mut done = None;
    check::soon("the kernel gives the pages back", || {
        let mut space = nix::cmsg_space!(libc::sock_extended_err, libc::sockaddr_in);
        let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
        let message =
            match socket::recvmsg::<()>(socket.as_raw_fd(), &mut [], Some(&mut space), flags) {
                Ok(message) => message,
                Err(Errno::EAGAIN) => return Ok(false),
                Err(errno) => return Err(errno).context("the socket's error queue"),
            };
        for control in message.cmsgs()? {
            if let ControlMessageOwned::Ipv4RecvErr(error, _) = control {
                done = Some(error.ee_code);
            }
        }
        Ok(done.is_some())
    })?;
    Ok(match done {
        Some(0) => "sent from the caller's pages",
        _ => "copied",
    })
}
