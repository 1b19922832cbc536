// SPDX-License-Identifier: GPL-2.0
//! Sockets that communicate between two namespaces. The figure is in instructions per transaction, and includes both
//! ends and the whole network stack.

use std::io::Read;
use std::io::Write;
use std::net::IpAddr;
use std::net::TcpListener;
use std::net::TcpStream;
use std::net::UdpSocket;
use std::thread;

use anyhow::bail;
use anyhow::Context;
use anyhow::Result;

use crate::busy::per_operation;
use crate::netns::Ns;
use crate::raw::Driver;
use crate::raw::Sample;
use crate::raw::Unit;

const RUNS: usize = 3;
const TRANSACTIONS: u32 = 1000;
/// A stream is counted by pieces of 64 KiB. So many of them go out before the other side
/// says that it has them: with less, waiting for each other would be what is measured.
const PIECE: usize = 64 << 10;
const PIECES: usize = 16;
const STREAMS: u32 = 30;

/// Which side communicates with which.
pub struct Ends<'a> {
    pub client: &'a Ns,
    pub server: &'a Ns,
    /// The server's, as the client knows it.
    pub address: IpAddr,
}

fn runs(count: u32, mut operation: impl FnMut() -> Result<()>) -> Result<Vec<f64>> {
    for _ in 0..count {
        operation()?;
    }
    let run = |_| per_operation(count, &mut operation);
    (0..RUNS).map(run).collect()
}

/// The server's side of a transaction: reads `request` bytes, and answers with one byte.
fn serve(mut stream: TcpStream, request: usize) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; request];
    while stream.read_exact(&mut buffer).is_ok() {
        stream.write_all(&[1])?;
    }
    Ok(())
}

impl Ends<'_> {
    fn tcp(&self, request: usize, count: u32) -> Result<Vec<f64>> {
        let bind = || TcpListener::bind((self.address, 0)).context("a TCP listener");
        let listener = self.server.run(bind)?;
        let address = listener.local_addr()?;
        thread::scope(|scope| {
            let end = scope.spawn(|| serve(listener.accept().context("accept")?.0, request));
            let connect = || TcpStream::connect(address).context("connect");
            let mut stream = self.client.run(connect)?;
            stream.set_nodelay(true)?;
            let data = vec![0; request];
            let mut answer = [0];
            let runs = runs(count, || {
                stream.write_all(&data)?;
                Ok(stream.read_exact(&mut answer)?)
            });
            drop(stream);
            match end.join() {
                Ok(served) => served?,
                Err(_) => bail!("the server panicked"),
            }
            runs
        })
    }

    fn stream(&self) -> Result<Vec<f64>> {
        let mut runs = self.tcp(PIECE * PIECES, STREAMS)?;
        runs.iter_mut().for_each(|run| *run /= PIECES as f64);
        Ok(runs)
    }

    fn udp(&self, count: u32) -> Result<Vec<f64>> {
        let bind = || UdpSocket::bind((self.address, 0)).context("a UDP server");
        let server = self.server.run(bind)?;
        let bind = || UdpSocket::bind("0.0.0.0:0").context("a UDP client");
        let client = self.client.run(bind)?;
        client.connect(server.local_addr()?)?;
        thread::scope(|scope| {
            // An empty datagram ends it.
            let end = scope.spawn(|| -> Result<()> {
                let mut buffer = [0; 64];
                loop {
                    let (got, from) = server.recv_from(&mut buffer)?;
                    if got == 0 {
                        return Ok(());
                    }
                    server.send_to(&buffer[..got], from)?;
                }
            });
            let mut answer = [0; 64];
            let runs = runs(count, || {
                client.send(&[1])?;
                client.recv(&mut answer)?;
                Ok(())
            });
            client.send(&[])?;
            match end.join() {
                Ok(served) => served?,
                Err(_) => bail!("the server panicked"),
            }
            runs
        })
    }

    /// One byte there and back by UDP and by TCP, and a TCP stream from the client to the server.
    pub fn measure(&self, group: &str, driver: Driver) -> Result<Vec<Sample>> {
        let sample = |name: &str, runs: Result<Vec<f64>>| {
            let scenario = format!("{group}/{name}");
            let runs = runs.with_context(|| format!("{scenario} on {}", driver.name()))?;
            println!("{scenario:32} {:6} {runs:9.0?}", driver.name());
            Ok(Sample {
                scenario,
                driver,
                unit: Unit::Transaction,
                generator: None,
                runs,
            })
        };
        [
            sample("udp-rr", self.udp(TRANSACTIONS)),
            sample("tcp-rr", self.tcp(1, TRANSACTIONS)),
            sample("tcp-stream", self.stream()),
        ]
        .into_iter()
        .collect()
    }
}
