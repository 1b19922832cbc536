// SPDX-License-Identifier: GPL-2.0
//! Receivers on leased queues that are killed while they receive, again and again: AF_XDP sockets and memory of io_uring.
//! The card and the kernel keep nothing of them, and the device can be deleted.

use std::fs;
use std::fs::File;
use std::io::Read;
use std::io::Write;
use std::net::Ipv4Addr;
use std::net::UdpSocket;
use std::process;
use std::thread;
use std::time::Duration;

use anyhow::anyhow;
use anyhow::ensure;
use anyhow::Context;
use anyhow::Result;
use nix::sys::signal::kill;
use nix::sys::signal::Signal;
use nix::sys::wait::waitpid;
use nix::unistd::fork;
use nix::unistd::pipe;
use nix::unistd::ForkResult;
use nix::unistd::Pid;

use super::xsk;
use super::zcrx;
use crate::check;
use crate::ctx::Ctx;
use crate::ctx::HOST4;
use crate::ctx::POD4;
use crate::inject::stay_on_cpu;
use crate::lessor;
use crate::netkit;
use crate::netkit::Spec;
use crate::tests::module::joined;
use crate::tests::Test;
use crate::traffic;

tests![socket, memory];

/// All tests of the file: a hundred processes take their time in an emulated VM.
pub fn all() -> Vec<Test> {
    let mut all = tests();
    for test in &mut all {
        test.patience = 5;
    }
    all
}

const ROUNDS: u32 = 100;

/// A process that receives until it is killed.
struct Receiver(Pid);

impl Receiver {
    /// Waits until the process has said, with the function that it is given, that it is ready.
    fn start(receive: impl FnOnce(&mut dyn FnMut() -> Result<()>) -> Result<()>) -> Result<Self> {
        let (reader, writer) = pipe()?;
        // SAFETY: this process has one thread, so the child may do all that the parent may.
        match unsafe { fork() }.context("fork")? {
            ForkResult::Child => {
                drop(reader);
                let mut writer = File::from(writer);
                let mut out = writer.try_clone();
                let mut ready = || match &mut out {
                    Ok(out) => Ok(out.write_all(b"ready")?),
                    Err(error) => Err(anyhow!("a descriptor: {error}")),
                };
                let ended = receive(&mut ready);
                let _parent_is_gone =
                    write!(writer, "{:#}", ended.err().unwrap_or(anyhow!("ended")));
                process::exit(1)
            }
            ForkResult::Parent { child } => {
                drop(writer);
                let receiver = Self(child);
                let mut said = [0; 200];
                let len = File::from(reader).read(&mut said)?;
                let said = String::from_utf8_lossy(&said[..len]);
                ensure!(said == "ready", "the receiver: {said}");
                Ok(receiver)
            }
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        // Nobody else waits for it, so it is there until it was waited for.
        let _killed = kill(self.0, Signal::SIGKILL);
        let _waited = waitpid(self.0, None);
    }
}

/// How many pages are pinned for devices and rings.
fn pinned() -> Result<i64> {
    // Has every CPU add what it has counted.
    fs::read("/proc/sys/vm/stat_refresh").context("vm.stat_refresh")?;
    let text = fs::read_to_string("/proc/vmstat")?;
    let count = |name: &str| -> Result<i64> {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let line = line.with_context(|| format!("{name}is not in /proc/vmstat"))?;
        Ok(line.trim().parse()?)
    };
    Ok(count("nr_foll_pin_acquired ")? - count("nr_foll_pin_released ")?)
}

/// Has every CPU receive a datagram. Packets that one CPU has freed for another (`skb_attempt_defer_free()`) wait until then,
/// with the memory that they refer to.
fn every_cpu_receives() -> Result<()> {
    let cpus = thread::available_parallelism()?.get();
    thread::scope(|scope| {
        let receiver = scope.spawn(|| {
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
            for cpu in 0..cpus {
                stay_on_cpu(cpu)?;
                socket.send_to(&[0], socket.local_addr()?)?;
                socket.recv(&mut [0])?;
            }
            Ok(())
        });
        joined(receiver)
    })
}

/// As many pages are pinned as before.
fn nothing_pinned(before: i64) -> Result<()> {
    let mut now = 0;
    check::soon("the pages are unpinned", || {
        every_cpu_receives()?;
        now = pinned()?;
        Ok(now <= before)
    })
    .with_context(|| format!("{now} pages are pinned, before {before}"))
}

fn socket(t: &Ctx) -> Result<()> {
    lessor::with(t, || {
        let bench = xsk::Bench::new(t, &t.host, 0)?;
        let (mut program, _link) = bench.address(&[])?;
        let (phys, far) = (&bench.cable.phys, &bench.cable.far);
        phys.steer(2)?;
        let frame = traffic::udp_frame(&phys.mac()?, POD4, HOST4, &[7; 100])?;
        let before = pinned()?;
        for round in 1..=ROUNDS {
            let receiver = Receiver::start(|ready| {
                let mut socket = bench.bind(1)?;
                program.set(2, &socket)?;
                socket.offer(8).context("recvfrom")?;
                ready()?;
                loop {
                    socket.receive(Duration::from_secs(1))?;
                    socket.offer(1).context("recvfrom")?;
                }
            })?;
            check::equal("a pool", bench.seen(2)?.has_pool, 1)?;
            for _ in 0..round % 7 {
                traffic::send_frame(&far.ns, far.index, &frame)?;
            }
            drop(receiver);
            traffic::send_frame(&far.ns, far.index, &frame)?;
            bench.pool_goes(2)?;
            let seen = bench.seen(2)?;
            check::equal(
                "pools",
                (seen.pools_set, seen.pools_cleared),
                (round, round),
            )?;
        }
        t.note(format!("{} frames received", bench.seen(2)?.pool_received));
        nothing_pinned(before)?;
        check::that("queue", !t.host.netdev()?.queue(bench.index, 1)?.xsk)?;
        // The queue can be used as before.
        drop(bench.bind(1)?);
        bench.pool_goes(2)?;
        t.host.del_link(bench.index)?;
        check::equal("devices", netkit::devices(&t.host)?.len(), 0)
    })
}

fn memory(t: &Ctx) -> Result<()> {
    lessor::with(t, || {
        let bench = zcrx::Bench::new(t, Spec::l3())?;
        let before = pinned()?;
        let received = || -> Result<_> { Ok(bench.cable.phys.seen(2)?.provider_received) };
        for round in 1..=ROUNDS {
            let already = received()?;
            let receiver = Receiver::start(|ready| {
                let mut memory = bench.register()?;
                ready()?;
                loop {
                    bench.carries(&mut memory, 3 << 20)?;
                }
            })?;
            if round % 4 != 0 {
                check::soon("it receives", || Ok(received()? > already))?;
            }
            thread::sleep(Duration::from_millis(u64::from(round % 5)));
            drop(receiver);
            bench.memory_goes()?;
        }
        t.note(format!("{} packets received", received()?));
        nothing_pinned(before)?;
        let mut memory = bench.register()?;
        bench.carries(&mut memory, 100_000)?;
        drop(memory);
        bench.memory_goes()?;
        t.host.del_link(t.host.link("nk0")?.index)?;
        check::equal("devices", netkit::devices(&t.host)?.len(), 0)
    })
}
