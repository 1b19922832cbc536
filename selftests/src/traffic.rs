// SPDX-License-Identifier: GPL-2.0
//! Real traffic between namespaces, from one thread.
//!
//! The kernel delivers packets between namespaces itself. So a test opens a socket on either side, sends on one and
//! receives on the other.

use std::io::ErrorKind;
use std::io::Read;
use std::io::Write;
use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::net::TcpStream;
use std::net::UdpSocket;
use std::time::Duration;
use std::time::Instant;

use anyhow::ensure;
use anyhow::Context;
use anyhow::Result;
use etherparse::IcmpEchoHeader;
use etherparse::Icmpv4Header;
use etherparse::Icmpv4Type;
use etherparse::Icmpv6Type;
use socket2::Domain;
use socket2::Protocol;
use socket2::Socket;
use socket2::Type;

use crate::netns::Ns;

/// How long to wait for what should come, and for what should not.
const COMES: Duration = Duration::from_secs(5);
const COMES_NOT: Duration = Duration::from_millis(60);
pub const PORT: u16 = 4242;

fn any(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    }
}

/// A receiver of datagrams at the test's port.
pub fn udp_receiver(ns: &Ns, ip: IpAddr) -> Result<UdpSocket> {
    ns.run(|| Ok(UdpSocket::bind((any(ip), PORT))?))
        .context("UDP receiver")
}

pub fn udp_sender(ns: &Ns, to: IpAddr) -> Result<UdpSocket> {
    ns.run(|| {
        let socket = UdpSocket::bind((any(to), 0))?;
        socket.connect((to, PORT))?;
        Ok(socket)
    })
    .context("UDP sender")
}

/// Sends one datagram of `len` bytes; that the device drops it is no error here.
pub fn udp_send(ns: &Ns, to: IpAddr, len: usize) -> Result<()> {
    let sent = udp_sender(ns, to)?.send(&vec![0x5a; len]);
    ensure!(sent.context("send")? == len, "datagram sent in part");
    Ok(())
}

/// Whether one datagram gets from one namespace to the other.
pub fn udp_arrives(from: &Ns, to: &Ns, ip: IpAddr, expected: bool) -> Result<bool> {
    let receiver = udp_receiver(to, ip)?;
    receiver.set_read_timeout(Some(if expected { COMES } else { COMES_NOT }))?;
    udp_send(from, ip, 64)?;
    let mut buffer = [0; 2048];
    match receiver.recv(&mut buffer) {
        Ok(len) => {
            ensure!(buffer[..len] == [0x5a; 64], "datagram arrived changed");
            Ok(true)
        }
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
        Err(error) => Err(error).context("receiving"),
    }
}

/// A datagram in one direction, and an answer to its sender.
pub fn udp_exchange(from: &Ns, to: &Ns, ip: IpAddr, len: usize) -> Result<()> {
    let receiver = udp_receiver(to, ip)?;
    receiver.set_read_timeout(Some(COMES))?;
    let sender = udp_sender(from, ip)?;
    sender.set_read_timeout(Some(COMES))?;
    let payload: Vec<u8> = (0..len).map(|n| n as u8).collect();
    let mut buffer = vec![0; len + 1];
    sender.send(&payload).context("sending a datagram")?;
    let (got, source) = receiver.recv_from(&mut buffer).context("no datagram")?;
    ensure!(buffer[..got] == payload, "datagram arrived changed");
    receiver.send_to(&payload, source).context("answering")?;
    let got = sender.recv(&mut buffer).context("no answer")?;
    ensure!(buffer[..got] == payload, "answer arrived changed");
    Ok(())
}

/// Lets TCP make segments beyond 64 KiB if the device takes them: otherwise it sends no more at once than the path takes in
/// a millisecond (tcp_tso_autosize()), which is little on a slow machine.
pub fn large_segments(from: &Ns) -> Result<()> {
    from.sysctl("net/ipv4/tcp_min_tso_segs", "64")
}

/// A TCP connection with `bytes` sent there, and a few back.
pub fn tcp_exchange(from: &Ns, to: &Ns, ip: IpAddr, bytes: usize) -> Result<()> {
    let listener = to.run(|| Ok(TcpListener::bind((any(ip), PORT))?))?;
    let address = SocketAddr::new(ip, PORT);
    let mut near = from
        .run(|| Ok(TcpStream::connect_timeout(&address, COMES)?))
        .context("connecting")?;
    let (mut far, _) = listener.accept()?;
    for stream in [&near, &far] {
        stream.set_read_timeout(Some(COMES))?;
        stream.set_write_timeout(Some(COMES))?;
    }
    pump(&mut near, &mut far, bytes)?;
    pump(&mut far, &mut near, 1000)
}

/// Sends `bytes` from one end to the other, which checks them.
fn pump(near: &mut TcpStream, far: &mut TcpStream, bytes: usize) -> Result<()> {
    let pattern: Vec<u8> = (0..bytes).map(|n| (n / 7) as u8).collect();
    near.set_nonblocking(true)?;
    let (mut sent, mut received) = (0, 0);
    let mut buffer = vec![0; 1 << 20];
    let deadline = Instant::now() + 9 * COMES;
    while received < bytes {
        ensure!(
            Instant::now() < deadline,
            "only {received} of {bytes} bytes came"
        );
        if sent < bytes {
            match near.write(&pattern[sent..]) {
                Ok(len) => sent += len,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error).context("TCP send"),
            }
        }
        let len = far.read(&mut buffer).context("TCP receive")?;
        ensure!(len > 0, "connection closed after {received} bytes");
        ensure!(
            buffer[..len] == pattern[received..received + len],
            "TCP bytes changed on the way"
        );
        received += len;
    }
    near.set_nonblocking(false)?;
    Ok(())
}

/// Sends an echo request, and returns whether its reply arrives.
pub fn ping(from: &Ns, to: IpAddr, expected: bool) -> Result<bool> {
    let mut socket = ping_socket(from, to)?;
    socket.set_read_timeout(Some(if expected { COMES } else { COMES_NOT }))?;
    let echo = IcmpEchoHeader { id: 7, seq: 1 };
    let (request, reply) = match to {
        IpAddr::V4(_) => {
            let header = Icmpv4Header::with_checksum(Icmpv4Type::EchoRequest(echo), b"netkit");
            (header.to_bytes().to_vec(), 0)
        }
        // The kernel fills in the checksum of a raw ICMPv6 socket.
        IpAddr::V6(_) => {
            let mut header = Icmpv6Type::EchoRequest(echo).to_header(
                Ipv6Addr::UNSPECIFIED.octets(),
                Ipv6Addr::UNSPECIFIED.octets(),
                b"netkit",
            )?;
            header.checksum = 0;
            (header.to_bytes().to_vec(), 129)
        }
    };
    let request = [request.as_slice(), b"netkit"].concat();
    // A raw socket reports ENOBUFS; a datagram socket would not.
    match socket.send_to(&request, &SocketAddr::new(to, 0).into()) {
        Err(error) if error.raw_os_error() != Some(libc::ENOBUFS) => {
            return Err(error).context("sending an echo request")
        }
        _ => {}
    }
    let deadline = Instant::now() + COMES;
    let mut buffer = [0; 256];
    while Instant::now() < deadline {
        let len = match socket.read(&mut buffer) {
            Ok(len) => len,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error).context("waiting for an echo reply"),
        };
        let bytes = &buffer[..len];
        // Raw IPv4 sockets show the IP header, IPv6 ones do not.
        let icmp = if to.is_ipv4() {
            bytes.get(20..)
        } else {
            Some(bytes)
        };
        if icmp.is_some_and(|icmp| icmp.first() == Some(&reply) && icmp.ends_with(b"netkit")) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn ping_socket(ns: &Ns, to: IpAddr) -> Result<Socket> {
    let (domain, protocol) = match to {
        IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4),
        IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6),
    };
    ns.run(|| Ok(Socket::new(domain, Type::RAW, Some(protocol))?))
        .context("raw ICMP socket")
}

/// Sends a frame as it is out of a device (AF_PACKET).
pub fn send_frame(ns: &Ns, ifindex: u32, frame: &[u8]) -> Result<(), nix::errno::Errno> {
    use nix::sys::socket as sys;
    let socket = ns
        .run(|| {
            Ok(sys::socket(
                sys::AddressFamily::Packet,
                sys::SockType::Raw,
                sys::SockFlag::empty(),
                None,
            )?)
        })
        .map_err(|_| nix::errno::Errno::EIO)?;
    // SAFETY: an all-zero sockaddr_ll is valid.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_ifindex = ifindex as i32;
    address.sll_protocol = (libc::ETH_P_IP as u16).to_be();
    // SAFETY: frame and address outlive the call, with their true lengths.
    let sent = unsafe {
        libc::sendto(
            std::os::fd::AsRawFd::as_raw_fd(&socket),
            frame.as_ptr().cast(),
            frame.len(),
            0,
            (&raw const address).cast(),
            size_of_val(&address) as u32,
        )
    };
    nix::errno::Errno::result(sent).map(drop)
}

/// An Ethernet frame with a datagram for the test's port.
pub fn udp_frame(to: &[u8], source: Ipv4Addr, dest: Ipv4Addr, payload: &[u8]) -> Result<Vec<u8>> {
    let mac = to.try_into().context("a MAC address has six bytes")?;
    let builder = etherparse::PacketBuilder::ethernet2([2, 0, 0, 0, 0, 9], mac)
        .ipv4(source.octets(), dest.octets(), 64)
        .udp(PORT, PORT);
    let mut frame = Vec::with_capacity(builder.size(payload.len()));
    builder.write(&mut frame, payload)?;
    Ok(frame)
}
