// SPDX-License-Identifier: GPL-2.0
//! Numbered datagrams between two namespaces, both ways, while something else happens.

use std::net::IpAddr;
use std::net::UdpSocket;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use anyhow::bail;
use anyhow::ensure;
use anyhow::Context;
use anyhow::Result;

use crate::netns::Ns;

/// How many datagrams may be under way: fewer than any queue holds, so that no queue overflows. A sender that has lost so
/// many sends no more.
const WINDOW: u64 = 64;
/// How long the last datagrams may take.
const PATIENCE: Duration = Duration::from_secs(1);

/// What became of the datagrams.
#[derive(Clone, Copy, Debug, Default)]
pub struct Count {
    pub sent: u64,
    pub received: u64,
    /// Datagrams that the receiver did not expect next: late, duplicate, or after a gap.
    pub out_of_order: u64,
}

impl Count {
    pub fn add(self, other: Self) -> Self {
        Self {
            sent: self.sent + other.sent,
            received: self.received + other.received,
            out_of_order: self.out_of_order + other.out_of_order,
        }
    }

    pub fn lost(self) -> u64 {
        self.sent.saturating_sub(self.received)
    }
}

/// One direction: both sockets are served by the same thread.
struct Stream {
    from: UdpSocket,
    to: UdpSocket,
    count: Count,
    expected: u64,
}

impl Stream {
    fn new(from: &Ns, to: (&Ns, IpAddr)) -> Result<Self> {
        let bind = || UdpSocket::bind((to.1, 0)).context("a receiver of datagrams");
        let to = to.0.run(bind)?;
        let bind = || UdpSocket::bind("0.0.0.0:0").context("a sender of datagrams");
        let from = from.run(bind)?;
        from.connect(to.local_addr()?)?;
        Ok(Self {
            from,
            to,
            count: Count::default(),
            expected: 0,
        })
    }

    fn send(&mut self) -> Result<()> {
        let number = self.count.sent.to_ne_bytes();
        self.from.send(&number).context("sending a datagram")?;
        self.count.sent += 1;
        Ok(())
    }

    /// Whether a datagram came.
    fn receive(&mut self) -> Result<bool> {
        let mut number = [0; 8];
        match self.to.recv(&mut number) {
            Ok(length) => ensure!(length == number.len(), "a datagram of {length} bytes"),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error).context("receiving a datagram"),
        }
        let number = u64::from_ne_bytes(number);
        self.count.received += 1;
        self.count.out_of_order += u64::from(number != self.expected);
        self.expected = number + 1;
        Ok(true)
    }

    fn run(mut self, stop: &AtomicBool) -> Result<Count> {
        self.to.set_nonblocking(true)?;
        while !stop.load(Ordering::Relaxed) {
            if self.count.lost() < WINDOW {
                self.send()?;
            }
            // Most are there already; one that is not may need the CPU.
            while self.receive()? {}
            if self.count.lost() > 0 {
                thread::yield_now();
            }
        }
        self.to.set_nonblocking(false)?;
        self.to.set_read_timeout(Some(PATIENCE))?;
        while self.count.lost() > 0 && self.receive()? {}
        Ok(self.count)
    }
}

/// One end: a namespace and an address there.
pub type End<'a> = (&'a Ns, IpAddr);

/// Runs `f` while datagrams go from each end to the other, as many as the CPU has time for.
pub fn beside(a: End, b: End, f: impl FnOnce() -> Result<()>) -> Result<Count> {
    let streams = [Stream::new(a.0, b)?, Stream::new(b.0, a)?];
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let stop = &stop;
        let threads = streams.map(|stream| scope.spawn(move || stream.run(stop)));
        let done = f();
        stop.store(true, Ordering::Relaxed);
        let mut all = Count::default();
        for thread in threads {
            match thread.join() {
                Ok(count) => all = all.add(count?),
                Err(_) => bail!("a thread with datagrams panicked"),
            }
        }
        done.map(|()| all)
    })
}
