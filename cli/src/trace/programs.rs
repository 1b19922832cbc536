// SPDX-License-Identifier: GPL-2.0
//! The BPF programs of bpf/trace.c in the kernel. They exist as long as the value.

use std::os::fd::AsFd;
use std::os::fd::AsRawFd;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use anyhow::anyhow;
use anyhow::Context;
use anyhow::Result;
use aya::include_bytes_aligned;
use aya::maps::Array;
use aya::maps::HashMap;
use aya::maps::MapData;
use aya::maps::RingBuf;
use aya::programs::KProbe;
use aya::programs::RawTracePoint;
use aya::Ebpf;
use aya::EbpfLoader;
use nix::poll::poll;
use nix::poll::PollFd;
use nix::poll::PollFlags;

use super::event::Raw;
use crate::failure::Kind;
use crate::module;

/// The xmit routines of the two drivers.
const BUILT_IN: &str = "netkit_xmit";
const OURS: [&str; 2] = ["netkit_rs_xmit", "netkit_rs_xmit_switch_after"];

/// A device, as the programs know it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Key {
    pub netns: u32,
    pub ifindex: u32,
}

// SAFETY: two integers without padding, valid in every bit pattern.
unsafe impl aya::Pod for Key {}

pub struct Programs {
    object: Ebpf,
    events: RingBuf<MapData>,
    /// The module whose functions are traced, too.
    module: Option<u64>,
}

impl Programs {
    /// Traces all netkit devices, or only `devices` if there are any.
    pub fn attach(devices: &[Key]) -> Result<Self> {
        let bytes = include_bytes_aligned!(concat!(env!("OUT_DIR"), "/trace.o"));
        let filtered = u32::from(!devices.is_empty());
        let mut object = EbpfLoader::new()
            .set_global("filtered", &filtered, true)
            .load(bytes)
            .context("cannot load the BPF programs of the trace")?;
        let mut wanted: HashMap<_, Key, u8> = HashMap::try_from(map(&mut object, "wanted")?)?;
        for device in devices {
            wanted.insert(device, 1, 0)?;
        }
        let events = object.take_map("events").context("no map events")?;
        let mut programs = Self {
            events: RingBuf::try_from(events)?,
            object,
            module: None,
        };
        for name in ["freed", "received", "queued"] {
            programs.tracepoint(name)?;
        }
        for name in ["redirected", "xmit_ends", "xmit_begins"] {
            programs.kprobe(name)?.load().context(name)?;
        }
        programs.probe("redirected", "skb_do_redirect")?;
        programs.probe_xmit(BUILT_IN)?;
        programs.follow_module()?;
        Ok(programs)
    }

    fn tracepoint(&mut self, name: &str) -> Result<()> {
        let point = match name {
            "freed" => "kfree_skb",
            "received" => "netif_rx",
            _ => "net_dev_queue",
        };
        let program = self.object.program_mut(name).context("no program")?;
        let program: &mut RawTracePoint = program.try_into()?;
        program.load().context(point)?;
        program.attach(point).context(point)?;
        Ok(())
    }

    fn kprobe(&mut self, name: &str) -> Result<&mut KProbe> {
        let program = self.object.program_mut(name);
        Ok(program
            .ok_or_else(|| anyhow!("no program {name}"))?
            .try_into()?)
    }

    fn probe(&mut self, program: &str, function: &str) -> Result<()> {
        self.kprobe(program)?
            .attach(function, 0)
            .with_context(|| format!("cannot trace {function}()"))?;
        Ok(())
    }

    /// First its end, so that no packet begins that does not end.
    fn probe_xmit(&mut self, function: &str) -> Result<()> {
        self.probe("xmit_ends", function)?;
        self.probe("xmit_begins", function)
    }

    /// Traces the module's functions, too, once the module is loaded, or loaded anew.
    pub fn follow_module(&mut self) -> Result<()> {
        let present = module::instance();
        if present == self.module {
            return Ok(());
        }
        self.module = present;
        if present.is_none() {
            return Ok(());
        }
        for function in OURS {
            let Err(error) = self.probe_xmit(function) else {
                continue;
            };
            // It may have been unloaded just now.
            if module::instance() != present {
                self.module = None;
                return Ok(());
            }
            return Err(Kind::Failed.error(format!(
                "{error:#}: is the loaded module an older build, whose functions cannot be traced?"
            )));
        }
        Ok(())
    }

    /// Waits for packets, or until `stop` can be read, which it returns; at most for `time`.
    pub fn wait(&self, stop: BorrowedFd<'_>, time: Duration) -> Result<bool> {
        // SAFETY: The buffer is open as long as `self`.
        let events = unsafe { BorrowedFd::borrow_raw(self.events.as_raw_fd()) };
        let mut fds = [
            PollFd::new(events, PollFlags::POLLIN),
            PollFd::new(stop, PollFlags::POLLIN),
        ];
        let milliseconds = u16::try_from(time.as_millis()).unwrap_or(u16::MAX);
        match poll(&mut fds, milliseconds) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(errno) => return Err(errno).context("waiting for packets"),
        }
        Ok(fds[1].any().unwrap_or(false))
    }

    pub fn next(&mut self) -> Option<Raw> {
        let item = self.events.next()?;
        Raw::read(&item)
    }

    /// The map with the packets that are being sent, for [`Verdicts`](super::verdicts::Verdicts).
    pub fn running(&self) -> Result<BorrowedFd<'_>> {
        match self.object.map("running") {
            Some(aya::maps::Map::LruHashMap(map)) => Ok(map.fd().as_fd()),
            _ => Err(anyhow!("no map running")),
        }
    }

    /// How many packets are not shown: they found no room in the buffer, or were nested too deeply.
    pub fn lost(&mut self) -> Result<u64> {
        let lost: Array<_, u64> = Array::try_from(map(&mut self.object, "lost")?)?;
        Ok(lost.get(&0, 0)?)
    }
}

fn map<'a>(object: &'a mut Ebpf, name: &str) -> Result<&'a mut aya::maps::Map> {
    object.map_mut(name).ok_or_else(|| anyhow!("no map {name}"))
}
