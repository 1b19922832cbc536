// SPDX-License-Identifier: GPL-2.0
//! The receive queue of a CPU (the backlog), where each packet waits that a pair has passed on: full, given to another
//! CPU (RPS), and limited for each flow.
//!
//! A packet that the queue refuses counts as dropped at both ends, and the sender is told.

use std::fs;
use std::net::Ipv4Addr;
use std::net::UdpSocket;
use std::thread;
use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use nix::errno::Errno;
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::Ipv4RecvErr;
use nix::sys::socket::sockopt::RcvBufForce;

use crate::bpf::burst::Burst;
use crate::bpf::mprog;
use crate::bpf::mprog::Place;
use crate::bpf::prog::Prog;
use crate::bpf::slow::Slow;
use crate::bpf::PRIMARY;
use crate::check;
use crate::ctx::Ctx;
use crate::ctx::Duo;
use crate::ctx::HOST4;
use crate::ctx::POD4;
use crate::inject;
use crate::inject::Frames;
use crate::inject::Offload;
use crate::netkit::Spec;
use crate::netkit::DROP;
use crate::netns::MachineWide;
use crate::nl::link::Stats;
use crate::tests::module::joined;
use crate::tests::Test;
use crate::traffic;

tests![full, given_to_another_cpu, senders_are_told, flow_limit];

/// All tests of the file; most need a second CPU.
pub fn all() -> Vec<Test> {
    let mut all = tests();
    for test in &mut all {
        if !test.name.ends_with("::full") {
            test.lacks = one_cpu;
        }
    }
    all
}

fn one_cpu() -> Option<String> {
    let cpus = thread::available_parallelism().map_or(1, |cpus| cpus.get());
    (cpus < 2).then(|| "there is one CPU only".into())
}

const MAX_BACKLOG: &str = "net/core/netdev_max_backlog";
/// The CPU of senders, and the one that receives for it.
const HERE: usize = 0;
const THERE: usize = 1;

/// What a full queue of this length holds: the kernel looks whether it is longer before it adds a packet.
const fn room(backlog: u32) -> u32 {
    backlog + 1
}

/// Counters of the receive queues of all CPUs (`/proc/net/softnet_stat`).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Queues {
    dropped: u32,
    flow_limited: u32,
    /// Packets that `THERE` has received.
    there: u32,
}

impl Queues {
    fn now() -> Result<Self> {
        let text = fs::read_to_string("/proc/thread-self/net/softnet_stat")?;
        let mut queues = Self::default();
        for (cpu, line) in text.lines().enumerate() {
            let fields = line.split_whitespace();
            let fields: Result<Vec<_>, _> = fields.map(|n| u32::from_str_radix(n, 16)).collect();
            let fields = fields.context("softnet_stat")?;
            queues.dropped += fields[1];
            queues.flow_limited += fields[10];
            if cpu == THERE {
                queues.there = fields[0];
            }
        }
        Ok(queues)
    }

    fn since(self, before: Self) -> Self {
        Self {
            dropped: self.dropped - before.dropped,
            flow_limited: self.flow_limited - before.flow_limited,
            there: self.there - before.there,
        }
    }
}

/// Datagrams from the host to the pod, counted at every place.
struct Rig {
    duo: Duo,
    receiver: UdpSocket,
    before: (Stats, Stats, Queues),
}

impl Rig {
    fn new(t: &Ctx) -> Result<Self> {
        inject::stay_on_cpu(HERE)?;
        let duo = t.duo(Spec::l3())?;
        let receiver = traffic::udp_receiver(&duo.pod, POD4.into())?;
        setsockopt(&receiver, RcvBufForce, &(1 << 22))?;
        receiver.set_nonblocking(true)?;
        let mut rig = Self {
            duo,
            receiver,
            before: Default::default(),
        };
        rig.before = rig.counters()?;
        Ok(rig)
    }

    fn counters(&self) -> Result<(Stats, Stats, Queues)> {
        let Duo { host, pod, pair } = &self.duo;
        let (sent, received) = (host.stats(pair.primary)?, pod.stats(pair.peer)?);
        Ok((sent, received, Queues::now()?))
    }

    /// `THERE` receives what arrives at the pod.
    fn receive_there(&self) -> Result<()> {
        let sysfs = self.duo.pod.mount_sysfs("pod")?;
        let path = sysfs.join("class/net/nk1/queues/rx-0/rps_cpus");
        let mask = format!("{:x}", 1 << THERE);
        fs::write(&path, mask).with_context(|| path.display().to_string())
    }

    /// So many datagrams were received, and so many dropped, by all counters.
    fn counted(&self, received: u32, dropped: u32) -> Result<()> {
        let mut buffer = [0; 2048];
        let mut came = 0;
        check::soon("datagrams come", || {
            while self.receiver.recv(&mut buffer).is_ok() {
                came += 1;
            }
            Ok(came >= received)
        })?;
        check::equal("received", came, received)?;
        let (sent, arrived, queues) = self.counters()?;
        let (sent, arrived) = (sent.since(&self.before.0), arrived.since(&self.before.1));
        let queues = queues.since(self.before.2);
        let (received, drops) = (u64::from(received), u64::from(dropped));
        check::equal(
            "sent and dropped by the sender",
            (sent.tx_packets, sent.tx_dropped, sent.tx_errors),
            (received, drops, 0),
        )?;
        check::equal(
            "received and dropped by the receiver",
            (arrived.rx_packets, arrived.rx_dropped, arrived.rx_errors),
            (received, drops, 0),
        )?;
        check::equal("bytes", sent.tx_bytes, arrived.rx_bytes)?;
        check::equal(
            "dropped or limited by the queue",
            queues.dropped.max(queues.flow_limited),
            dropped,
        )
    }
}

/// Runs `f` while `THERE` can receive nothing: a program takes its time over a packet of another pair.
fn while_busy(t: &Ctx, f: impl FnOnce() -> Result<()>) -> Result<()> {
    const LONG: Duration = Duration::from_secs(4);
    const BUSY4: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 3, 0, 1), Ipv4Addr::new(10, 3, 0, 2)];
    let other = t.ns()?;
    let duo = Duo {
        host: t.host.clone(),
        pair: Spec::l3().create_as("busy0", "busy1", &t.host, &other)?,
        pod: other,
    };
    duo.addresses(BUSY4[0].into(), BUSY4[1].into(), 24)?;
    duo.up()?;
    let slow = Slow::load(LONG)?;
    mprog::attach(slow.fd()?, duo.pair.primary, PRIMARY, Place::default())?;
    // Its own packet would find the queue full at last.
    let end = Prog::returning(DROP)?;
    mprog::attach(&end, duo.pair.primary, PRIMARY, Place::default())?;
    let socket = traffic::udp_sender(&t.host, BUSY4[1].into())?;
    thread::scope(|scope| {
        let holder = scope.spawn(|| -> Result<()> {
            inject::stay_on_cpu(THERE)?;
            // On PREEMPT_RT, the receiver's thread would run meanwhile.
            inject::overtake()?;
            socket.send(&[0; 10])?;
            Ok(())
        });
        check::soon("the other CPU is busy", || Ok(slow.runs()?.begun == 1))?;
        f()?;
        check::equal("it was busy all the time", slow.runs()?.ended, 0)?;
        joined(holder)
    })
}

/// Sends so many datagrams, and returns how many of them the sender was told of as dropped.
fn send(socket: &UdpSocket, count: u32) -> Result<u32> {
    let mut told = 0;
    for _ in 0..count {
        match socket.send(&[0x5a; 100]) {
            Ok(_) => {}
            Err(error) if error.raw_os_error() == Some(Errno::ENOBUFS as i32) => told += 1,
            Err(error) => return Err(error).context("sending"),
        }
    }
    Ok(told)
}

/// A sender that wants to be told of drops (`IP_RECVERR`).
fn told_sender(duo: &Duo) -> Result<UdpSocket> {
    let socket = traffic::udp_sender(&duo.host, POD4.into())?;
    setsockopt(&socket, Ipv4RecvErr, &true)?;
    Ok(socket)
}

fn full(t: &Ctx) -> Result<()> {
    const BACKLOG: u32 = 10;
    const SENT: u32 = 100;
    let rig = Rig::new(t)?;
    let burst = Burst::load(rig.duo.pair.primary, SENT)?;
    let mac = rig.duo.pod.link_by_index(rig.duo.pair.peer)?.mac();
    let frame = traffic::udp_frame(&mac, HOST4, POD4, b"netkit")?;
    let _short = MachineWide::set(MAX_BACKLOG, &BACKLOG.to_string())?;
    let answers = burst.send(&frame)?;
    let told = (answers.sent, answers.dropped, answers.other);
    check::equal("answers", told, (room(BACKLOG), SENT - room(BACKLOG), 0))?;
    rig.counted(room(BACKLOG), SENT - room(BACKLOG))
}

fn given_to_another_cpu(t: &Ctx) -> Result<()> {
    const SENT: u32 = 50;
    let rig = Rig::new(t)?;
    rig.receive_there()?;
    let socket = told_sender(&rig.duo)?;
    check::equal("told of drops", send(&socket, SENT)?, 0)?;
    rig.counted(SENT, 0)?;
    let there = Queues::now()?.since(rig.before.2).there;
    check::that("received by the other CPU", there >= SENT)
}

fn senders_are_told(t: &Ctx) -> Result<()> {
    const BACKLOG: u32 = 10;
    const SENT: u32 = 20;
    let rig = Rig::new(t)?;
    rig.receive_there()?;
    let plain = traffic::udp_sender(&rig.duo.host, POD4.into())?;
    // Whoever closes such a socket waits for all CPUs.
    let frames = Frames::open(&rig.duo.host)?;
    let pair = rig.duo.pair;
    let mac = rig.duo.pod.link_by_index(pair.peer)?.mac();
    let frame = traffic::udp_frame(&mac, HOST4, POD4, b"netkit")?;
    let socket = told_sender(&rig.duo)?;
    let _short = MachineWide::set(MAX_BACKLOG, &BACKLOG.to_string())?;
    while_busy(t, || {
        check::equal("told without IP_RECVERR", send(&plain, SENT)?, 0)?;
        check::equal("told with it", send(&socket, SENT)?, SENT)?;
        let offload = Offload::default();
        let answer = frames.send(pair.primary, libc::ETH_P_IP as u16, offload, &frame);
        check::errno("packet socket", answer, Errno::ENOBUFS)
    })?;
    rig.counted(room(BACKLOG), 2 * SENT + 1 - room(BACKLOG))?;
    // The queue is empty again.
    check::equal("told at last", send(&socket, 1)?, 0)
}

/// Once the queue is half full, a flow that makes up more than half of the last 256 packets is dropped. Others are not.
fn flow_limit(t: &Ctx) -> Result<()> {
    const BACKLOG: u32 = 300;
    const SENT: u32 = 300;
    let rig = Rig::new(t)?;
    rig.receive_there()?;
    let (greedy, modest) = (told_sender(&rig.duo)?, told_sender(&rig.duo)?);
    let _short = MachineWide::set(MAX_BACKLOG, &BACKLOG.to_string())?;
    let _limit = MachineWide::set(
        "net/core/flow_limit_cpu_bitmap",
        &format!("{:x}", 1 << HERE),
    )?;
    let mut told = 0;
    while_busy(t, || {
        told = send(&greedy, SENT)?;
        check::that(&format!("told of {told} drops"), told > 0)?;
        let queued = SENT - told;
        check::that("before the queue is full", queued < BACKLOG - 10)?;
        check::that("when it is half full", queued >= BACKLOG / 2)?;
        check::equal("another flow", send(&modest, 5)?, 0)
    })?;
    t.note(format!("{told} of {SENT} dropped"));
    rig.counted(SENT + 5 - told, told)?;
    let limited = Queues::now()?.since(rig.before.2).flow_limited;
    check::equal("by the flow limit", limited, told)
}
