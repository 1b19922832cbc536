// SPDX-License-Identifier: GPL-2.0
//! Traffic that does not stop: datagrams from both ends, and a TCP connection.
//!
//! The devices may be changed, brought down, moved or deleted in the meantime. Then sending fails; this is counted, and
//! is no error.

use std::io::ErrorKind;
use std::io::Read;
use std::io::Write;
use std::net::IpAddr;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::net::TcpStream;
use std::net::UdpSocket;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::Mutex;
use std::thread::sleep;
use std::time::Duration;
use std::time::Instant;

use anyhow::anyhow;
use anyhow::ensure;
use anyhow::Context;
use anyhow::Result;

use super::arena::Actor;
use crate::ctx::HOST4;
use crate::ctx::POD4;
use crate::netns::Ns;

const PORT: u16 = 4343;
const BURST: usize = 16;
const SIZES: [usize; 5] = [1, 64, 300, 1000, 1400];

/// What one end has sent and got.
#[derive(Default)]
pub struct Count {
    pub sent: AtomicU64,
    pub received: AtomicU64,
}

#[derive(Default)]
pub struct Flood {
    pub host: Count,
    pub pod: Count,
    /// They stay open when their threads have ended: the other end may not have yet.
    sockets: Mutex<Vec<UdpSocket>>,
}

impl Flood {
    /// How many datagrams the sockets got rid of.
    pub fn total(&self) -> u64 {
        self.host.sent.load(Relaxed) + self.pod.sent.load(Relaxed)
    }

    fn socket(&self, ns: &Ns) -> Result<UdpSocket> {
        let socket = ns.run(|| Ok(UdpSocket::bind(("0.0.0.0", PORT))?));
        let socket = socket.context("a socket for datagrams")?;
        socket.set_nonblocking(true)?;
        let mut kept = self
            .sockets
            .lock()
            .map_err(|_| anyhow!("a thread panicked"))?;
        kept.push(socket.try_clone()?);
        Ok(socket)
    }

    /// Datagrams both ways, one thread for each end.
    pub fn datagrams<'a>(&'a self, host: &Ns, pod: &Ns) -> Result<Vec<Actor<'a>>> {
        // Opened before the first datagram arrives: otherwise the answer would be an ICMP message.
        let (host, pod) = (self.socket(host)?, self.socket(pod)?);
        Ok(vec![
            Actor::new("host's datagrams", move |turn| {
                turn.repeat(|| burst(&host, POD4.into(), &self.host))
            }),
            Actor::new("pod's datagrams", move |turn| {
                turn.repeat(|| burst(&pod, HOST4.into(), &self.pod))
            }),
        ])
    }
}

/// Sends a few datagrams and takes in what has come.
fn burst(socket: &UdpSocket, to: IpAddr, count: &Count) -> Result<()> {
    let payload = [0x5a; SIZES[SIZES.len() - 1]];
    for number in 0..BURST {
        let len = SIZES[number % SIZES.len()];
        if socket.send_to(&payload[..len], (to, PORT)).is_ok() {
            count.sent.fetch_add(1, Relaxed);
        }
    }
    let mut buffer = [0; 2048];
    loop {
        match socket.recv_from(&mut buffer) {
            Ok((len, from)) => {
                ensure!(buffer[..len] == payload[..len], "a datagram came changed");
                ensure!(from.ip() == to, "a datagram came from {from}");
                count.received.fetch_add(1, Relaxed);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            // ICMP reports that there is no route.
            Err(_) => {}
        }
    }
}

/// One thread with both ends of a connection. When the connection breaks, it makes a new one.
pub fn stream<'a>(host: &Ns, pod: &Ns) -> Result<Actor<'a>> {
    let (host, pod) = (host.ticket()?, pod.ticket()?);
    Ok(Actor::new("TCP", move |turn| {
        pod.enter()?;
        let listener = TcpListener::bind(("0.0.0.0", PORT)).context("listening")?;
        // This side may never learn of the connection: the last packet of the handshake can be lost.
        listener.set_nonblocking(true)?;
        host.enter()?;
        let mut ends = None;
        turn.repeat(|| {
            match ends.as_mut() {
                None => ends = connect(&listener).ok(),
                Some((near, far)) => {
                    if pump(near, far).is_err() {
                        ends = None;
                    }
                }
            }
            Ok(())
        })
    }))
}

fn connect(listener: &TcpListener) -> Result<(TcpStream, TcpStream)> {
    const PATIENCE: Duration = Duration::from_millis(300);
    let near = TcpStream::connect_timeout(&SocketAddr::new(POD4.into(), PORT), PATIENCE)?;
    let deadline = Instant::now() + PATIENCE;
    let far = loop {
        match listener.accept() {
            Ok((far, peer)) if peer == near.local_addr()? => break far,
            // Of an attempt that was given up.
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock && Instant::now() < deadline => {
                sleep(Duration::from_millis(1));
            }
            Err(error) => return Err(error.into()),
        }
    };
    far.set_nonblocking(false)?;
    for stream in [&near, &far] {
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_read_timeout(Some(PATIENCE))?;
    }
    Ok((near, far))
}

/// Some bytes there, and back.
fn pump(near: &mut TcpStream, far: &mut TcpStream) -> std::io::Result<()> {
    let mut bytes = [0; 4000];
    near.write_all(&bytes)?;
    far.read_exact(&mut bytes)?;
    far.write_all(&bytes)?;
    near.read_exact(&mut bytes)
}
