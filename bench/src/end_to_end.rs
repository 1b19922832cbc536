// SPDX-License-Identifier: GPL-2.0
//! Measures what the users see: sockets that talk across the pair, both ends and the whole
//! stack included, in instructions a transaction.

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

use crate::bed;
use crate::bed::Bed;
use crate::bed::Mode;
use crate::bed::Shape;
use crate::busy::per_operation;
use crate::raw::Driver;
use crate::raw::Sample;
use crate::raw::Unit;

const RUNS: usize = 3;
const CLIENT: &str = "198.18.3.1";
const SERVER: &str = "198.18.3.2";
const LARGE: usize = 64 << 10;

fn runs(count: u32, mut operation: impl FnMut() -> Result<()>) -> Result<Vec<f64>> {
    for _ in 0..count {
        operation()?;
    }
    let run = |_| per_operation(count, &mut operation);
    (0..RUNS).map(run).collect()
}

/// The server's side of a transaction: takes `request` bytes, answers with one.
fn serve(mut stream: TcpStream, request: usize) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; request];
    while stream.read_exact(&mut buffer).is_ok() {
        stream.write_all(&[1])?;
    }
    Ok(())
}

fn tcp(bed: &Bed, request: usize, count: u32) -> Result<Vec<f64>> {
    let server: IpAddr = SERVER.parse()?;
    let listener = bed.in_far(|| TcpListener::bind((server, 0)).context("a TCP listener"))?;
    let address = listener.local_addr()?;
    thread::scope(|scope| {
        let end = scope.spawn(|| serve(listener.accept().context("accept")?.0, request));
        let mut stream = TcpStream::connect(address).context("connect")?;
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

fn udp(bed: &Bed, count: u32) -> Result<Vec<f64>> {
    let server: IpAddr = SERVER.parse()?;
    let far = bed.in_far(|| UdpSocket::bind((server, 0)).context("a UDP server"))?;
    let near = UdpSocket::bind("0.0.0.0:0").context("a UDP client")?;
    near.connect(far.local_addr()?)?;
    thread::scope(|scope| {
        // An empty datagram ends it.
        let end = scope.spawn(|| -> Result<()> {
            let mut buffer = [0; 64];
            loop {
                let (got, from) = far.recv_from(&mut buffer)?;
                if got == 0 {
                    return Ok(());
                }
                far.send_to(&buffer[..got], from)?;
            }
        });
        let mut answer = [0; 64];
        let runs = runs(count, || {
            near.send(&[1])?;
            near.recv(&mut answer)?;
            Ok(())
        });
        near.send(&[])?;
        match end.join() {
            Ok(served) => served?,
            Err(_) => bail!("the server panicked"),
        }
        runs
    })
}

pub fn measure(driver: Driver) -> Result<Vec<Sample>> {
    let shape = Shape {
        mode: Mode::L2,
        far: true,
        blackhole: false,
    };
    let bed = Bed::new(driver, shape)?;
    let (near, far) = (bed::NEAR, bed::FAR);
    bed::ip(&format!("addr add {CLIENT}/24 dev {near}\n"))?;
    bed.in_far(|| bed::ip(&format!("addr add {SERVER}/24 dev {far}\n")))?;
    let sample = |scenario: &str, runs: Result<Vec<f64>>| {
        let runs = runs.with_context(|| format!("{scenario} on {}", driver.name()))?;
        println!("{scenario:32} {:6} {runs:9.0?}", driver.name());
        Ok(Sample {
            scenario: scenario.to_owned(),
            driver,
            unit: Unit::Operation,
            generator: None,
            runs,
        })
    };
    let samples: Result<Vec<Sample>> = [
        sample("end-to-end/udp-1-byte", udp(&bed, 1000)),
        sample("end-to-end/tcp-1-byte", tcp(&bed, 1, 1000)),
        sample("end-to-end/tcp-64k", tcp(&bed, LARGE, 300)),
    ]
    .into_iter()
    .collect();
    bed.remove()?;
    samples
}
