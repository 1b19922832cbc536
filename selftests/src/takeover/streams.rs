// SPDX-License-Identifier: GPL-2.0
//! Traffic that must not lose anything: numbered datagrams both ways, and a TCP connection whose bytes are compared.
//!
//! A sender waits when too much is on its way, so nothing is lost for want of room: what is lost, a device has lost.

use std::io::Read;
use std::io::Write;
use std::net::Ipv4Addr;
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

use super::places::Place;
use crate::check;
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

struct Stream {
    name: String,
    sockets: Sockets,
    count: Count,
    /// What it had received when the phase began.
    mark: AtomicU64,
}

/// All streams of a test.
#[derive(Default)]
pub struct Streams {
    streams: Vec<Stream>,
    over: AtomicBool,
}

fn datagrams(
    name: &str,
    from: &(&crate::netns::Ns, Ipv4Addr),
    to: &(&crate::netns::Ns, Ipv4Addr),
    port: u16,
) -> Result<Stream> {
    let receiver = to.0.run(|| Ok(UdpSocket::bind((to.1, port))?))?;
    setsockopt(&receiver, RcvBufForce, &ROOM)?;
    receiver.set_read_timeout(Some(Duration::from_millis(200)))?;
    let sender = from.0.run(|| Ok(UdpSocket::bind((from.1, port))?))?;
    sender.connect((to.1, port))?;
    Ok(Stream::new(name, Sockets::Udp(sender, receiver)))
}

fn connection(
    name: &str,
    from: &(&crate::netns::Ns, Ipv4Addr),
    to: &(&crate::netns::Ns, Ipv4Addr),
    port: u16,
) -> Result<Stream> {
    let listener = to.0.run(|| Ok(TcpListener::bind((to.1, port))?))?;
    let near = from
        .0
        .run(|| Ok(TcpStream::connect_timeout(&(to.1, port).into(), LATE)?))
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
            mark: AtomicU64::new(0),
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
}

impl Streams {
    /// Datagrams both ways and a connection over each place.
    pub fn over(places: &[Place]) -> Result<Self> {
        let mut streams = Vec::new();
        for (number, place) in places.iter().enumerate() {
            let [left, right] = [0, 1].map(|end: usize| (&place.ends[end].ns, place.ends[end].ip));
            let port = 5000 + 10 * number as u16;
            let name = |what| format!("{what} over {}", place.name);
            streams.push(datagrams(&name("UDP there"), &left, &right, port)?);
            streams.push(datagrams(&name("UDP back"), &right, &left, port + 1)?);
            streams.push(connection(&name("TCP"), &left, &right, port + 2)?);
        }
        Ok(Self {
            streams,
            over: AtomicBool::new(false),
        })
    }

    /// Starts the threads; they go on until [`Self::stop`].
    pub fn start<'scope, 'env>(&'env self, scope: &'scope Scope<'scope, 'env>, pace: Pace) {
        for (number, stream) in self.streams.iter().enumerate() {
            match &stream.sockets {
                Sockets::Udp(sender, receiver) => {
                    scope.spawn(move || {
                        // Without it, order alone is in danger, and that is counted.
                        let _on_any_cpu = onto_cpu(number);
                        stream.send(sender, pace, &self.over);
                    });
                    scope.spawn(move || stream.receive(receiver));
                }
                Sockets::Tcp(near, far) => {
                    scope.spawn(move || stream.converse(near, far, pace, &self.over));
                }
            }
        }
    }

    pub fn stop(&self) {
        self.over.store(true, Relaxed);
    }

    /// Ends a phase: each stream must have received something since the last one, or do so soon.
    pub fn progress(&self, phase: &str) -> Result<()> {
        for stream in &self.streams {
            let received = || stream.count.received.load(Relaxed);
            check::soon(&format!("{} goes on {phase}", stream.name), || {
                Ok(received() > stream.mark.load(Relaxed))
            })?;
        }
        for stream in &self.streams {
            stream
                .mark
                .store(stream.count.received.load(Relaxed), Relaxed);
        }
        Ok(())
    }

    /// Once all threads have ended: the counts in words, and whether anything was lost.
    pub fn verdict(&self) -> Result<String> {
        let mut udp = [0; 4];
        let (mut bytes, mut bad) = (0, Vec::new());
        for stream in &self.streams {
            let count = &stream.count;
            let [sent, received, reordered, failed] = [
                &count.sent,
                &count.received,
                &count.reordered,
                &count.failed,
            ]
            .map(|n| n.load(Relaxed));
            let lost = match stream.sockets {
                Sockets::Udp(..) => {
                    let lost = sent.saturating_sub(received);
                    for (sum, n) in udp.iter_mut().zip([sent, lost, reordered, failed]) {
                        *sum += n;
                    }
                    lost
                }
                Sockets::Tcp(..) => {
                    bytes += received;
                    0
                }
            };
            if lost + reordered + failed > 0 {
                bad.push(format!(
                    "{}: {sent} sent, {lost} lost, {reordered} reordered, {failed} refused or changed",
                    stream.name
                ));
            }
        }
        check::equal("streams that lost something", bad, Vec::<String>::new())?;
        let [sent, lost, reordered, failed] = udp;
        Ok(format!(
            "{} streams: {sent} datagrams, {lost} lost, {reordered} reordered, {failed} refused; {} KiB by TCP",
            self.streams.len(),
            bytes >> 10
        ))
    }
}
