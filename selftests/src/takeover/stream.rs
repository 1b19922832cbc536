// SPDX-License-Identifier: GPL-2.0
//! One stream of traffic that must not lose anything: numbered datagrams, or a TCP connection whose bytes are compared.
//!
//! A sender waits when too many bytes are on their way. So no datagram is lost because a buffer is full; only a device
//! can lose one.

use std::io::Read;
use std::io::Write;
use std::net::TcpListener;
use std::net::TcpStream;
use std::net::UdpSocket;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::sleep;
use std::thread::Scope;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context;
use anyhow::Result;
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::RcvBufForce;

use super::places::End;
use crate::races::onto_cpu;

/// More than this is never on its way in one stream.
const WINDOW: u64 = 64;
const ROOM: usize = 1 << 22;
/// How long a datagram may take, on an emulated CPU that others use, too.
const LATE: Duration = Duration::from_secs(10);
const CHUNK: usize = 4000;

/// How much is sent: so many datagrams, then a pause.
#[derive(Clone, Copy)]
pub struct Pace {
    pub burst: u32,
    pub pause: Duration,
}

/// What one stream has sent and got.
#[derive(Default)]
struct Count {
    sent: AtomicU64,
    received: AtomicU64,
    reordered: AtomicU64,
    failed: AtomicU64,
    ended: AtomicBool,
}

enum Sockets {
    Udp(UdpSocket, UdpSocket),
    Tcp(TcpStream, TcpStream),
}

pub struct Stream {
    pub name: String,
    sockets: Sockets,
    count: Count,
}

/// Numbered datagrams from one end to the other.
pub fn datagrams(name: &str, from: &End, to: &End, port: u16) -> Result<Stream> {
    let receiver = to.ns.run(|| Ok(UdpSocket::bind((to.ip, port))?))?;
    setsockopt(&receiver, RcvBufForce, &ROOM)?;
    receiver.set_read_timeout(Some(Duration::from_millis(200)))?;
    let sender = from.ns.run(|| Ok(UdpSocket::bind((from.ip, port))?))?;
    sender.connect((to.ip, port))?;
    Ok(Stream::new(name, Sockets::Udp(sender, receiver)))
}

/// A connection from one end to the other.
pub fn connection(name: &str, from: &End, to: &End, port: u16) -> Result<Stream> {
    let listener = to.ns.run(|| Ok(TcpListener::bind((to.ip, port))?))?;
    let near = from
        .ns
        .run(|| Ok(TcpStream::connect_timeout(&(to.ip, port).into(), LATE)?))
        .context("connecting")?;
    let far = listener.accept()?.0;
    for end in [&near, &far] {
        end.set_read_timeout(Some(LATE))?;
        end.set_write_timeout(Some(LATE))?;
    }
    Ok(Stream::new(name, Sockets::Tcp(near, far)))
}

impl Stream {
    fn new(name: &str, sockets: Sockets) -> Self {
        Self {
            name: name.to_owned(),
            sockets,
            count: Count::default(),
        }
    }

    /// Sends numbered datagrams. From one CPU: packets that wait on several would be delivered in any order.
    fn send(&self, socket: &UdpSocket, pace: Pace, over: &AtomicBool) {
        let count = &self.count;
        let mut datagram = [0; 200];
        while !over.load(Relaxed) {
            for _ in 0..pace.burst {
                let sent = count.sent.load(Relaxed);
                if sent - count.received.load(Relaxed) >= WINDOW {
                    break;
                }
                datagram[..8].copy_from_slice(&sent.to_ne_bytes());
                match socket.send(&datagram) {
                    Ok(_) => count.sent.fetch_add(1, Relaxed),
                    Err(_) => count.failed.fetch_add(1, Relaxed),
                };
            }
            sleep(pace.pause);
        }
        count.ended.store(true, Relaxed);
    }

    fn receive(&self, socket: &UdpSocket) {
        let count = &self.count;
        let (mut next, mut last) = (0, Instant::now());
        let mut datagram = [0; 200];
        loop {
            let all = || count.received.load(Relaxed) >= count.sent.load(Relaxed);
            if count.ended.load(Relaxed) && (all() || last.elapsed() > LATE) {
                return;
            }
            let Ok(200) = socket.recv(&mut datagram) else {
                continue;
            };
            last = Instant::now();
            let number = u64::from_ne_bytes(datagram[..8].try_into().unwrap_or_default());
            count.received.fetch_add(1, Relaxed);
            count.reordered.fetch_add(u64::from(number < next), Relaxed);
            next = next.max(number + 1);
        }
    }

    /// Bytes there, and the same ones back, which are compared.
    fn converse(&self, near: &TcpStream, far: &TcpStream, pace: Pace, over: &AtomicBool) {
        let (mut near, mut far) = (near, far);
        let count = &self.count;
        let mut buffer = [0; CHUNK];
        for round in 0usize.. {
            if over.load(Relaxed) {
                break;
            }
            let pattern: Vec<u8> = (0..CHUNK).map(|n| ((n + round) % 251) as u8).collect();
            let way = (|| -> std::io::Result<()> {
                near.write_all(&pattern)?;
                far.read_exact(&mut buffer)?;
                far.write_all(&buffer)?;
                near.read_exact(&mut buffer)
            })();
            if way.is_err() || buffer[..] != pattern[..] {
                count.failed.fetch_add(1, Relaxed);
                break;
            }
            count.received.fetch_add(2 * CHUNK as u64, Relaxed);
            sleep(pace.pause);
        }
        count.ended.store(true, Relaxed);
    }

    /// Starts the stream's threads; they go on until it is `over`.
    pub fn start<'scope, 'env>(
        &'env self,
        scope: &'scope Scope<'scope, 'env>,
        cpu: usize,
        pace: Pace,
        over: &'env AtomicBool,
    ) {
        match &self.sockets {
            Sockets::Udp(sender, receiver) => {
                scope.spawn(move || {
                    // Without it, order alone is in danger, and that is counted.
                    let _on_any_cpu = onto_cpu(cpu);
                    self.send(sender, pace, over);
                });
                scope.spawn(move || self.receive(receiver));
            }
            Sockets::Tcp(near, far) => {
                scope.spawn(move || self.converse(near, far, pace, over));
            }
        }
    }

    pub fn received(&self) -> u64 {
        self.count.received.load(Relaxed)
    }

    /// What was sent and got, once all threads have ended.
    pub fn tally(&self) -> Tally {
        let count = &self.count;
        let [sent, received, reordered, failed] = [
            &count.sent,
            &count.received,
            &count.reordered,
            &count.failed,
        ]
        .map(|n| n.load(Relaxed));
        match self.sockets {
            Sockets::Udp(..) => Tally {
                datagrams: sent,
                lost: sent.saturating_sub(received),
                reordered,
                failed,
                bytes: 0,
            },
            Sockets::Tcp(..) => Tally {
                bytes: received,
                failed,
                ..Tally::default()
            },
        }
    }
}

/// The counts of one stream, or of several.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    pub datagrams: u64,
    pub lost: u64,
    pub reordered: u64,
    /// Refused by the kernel, or changed on the way.
    pub failed: u64,
    pub bytes: u64,
}

impl Tally {
    pub fn add(&mut self, other: Self) {
        self.datagrams += other.datagrams;
        self.lost += other.lost;
        self.reordered += other.reordered;
        self.failed += other.failed;
        self.bytes += other.bytes;
    }

    pub fn is_clean(&self) -> bool {
        self.lost + self.reordered + self.failed == 0
    }
}
