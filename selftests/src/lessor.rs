// SPDX-License-Identifier: GPL-2.0
//! nk_lessor: replaces a network card with zero-copy receive queues in the tests.
//!
//! The module is built from `lessor/`, and loaded for one test at a time. Each test checks that the module can be
//! unloaded afterwards. Its two devices are the ends of a cable: one card in the host, the other in a namespace of its
//! own.

use std::fs::File;

use anyhow::ensure;
use anyhow::Context;
use anyhow::Result;
use nix::errno::Errno;
use nix::kmod::delete_module;
use nix::kmod::finit_module;
use nix::kmod::DeleteModuleFlags;
use nix::kmod::ModuleInitFlags;

use crate::ctx::Ctx;
use crate::netns::Ns;
use crate::nl::attr::Attrs;
use crate::nl::link::ifinfomsg;
use crate::nl::link::linkinfo;
use crate::nl::netdev::Offer;
use crate::nl::Answer;

const KIND: &str = "nk_lessor";

const LACKS: u16 = 1;
const ERROR: u16 = 2;
const STEER: u16 = 3;
const QUEUE: u16 = 4;

/// What a card can lack.
pub const LACKS_NDO_BPF: u32 = 1 << 0;
pub const LACKS_NDO_XDP_XMIT: u32 = 1 << 1;
pub const LACKS_NDO_XSK_WAKEUP: u32 = 1 << 2;
pub const LACKS_ZC_FEATURE: u32 = 1 << 3;
pub const LACKS_NETMEM_TX: u32 = 1 << 4;

/// `struct lessor_seen`: what a queue of a card has and has seen.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Seen {
    pub has_pool: u32,
    pub pools_set: u32,
    pub pools_cleared: u32,
    pub wakeups_rx: u32,
    pub wakeups_tx: u32,
    pub pool_sent: u32,
    pub pool_received: u32,
    pub has_provider: u32,
    pub restarts: u32,
    pub provider_received: u32,
    pub stack_received: u32,
}

/// The loaded module; dropping the value unloads it.
pub struct Loaded(());

impl Loaded {
    pub fn new(t: &Ctx) -> Result<Self> {
        load(t)?;
        Ok(Self(()))
    }

    pub fn unload(self) -> Result<()> {
        std::mem::forget(self);
        unload()
    }
}

impl Drop for Loaded {
    fn drop(&mut self) {
        // The test has failed already, and says why.
        let _out_or_not = unload();
    }
}

/// Loads the module, runs the test, and unloads the module, which deletes the devices that are left.
pub fn with(t: &Ctx, test: impl FnOnce() -> Result<()>) -> Result<()> {
    let module = Loaded::new(t)?;
    let result = test();
    let unloaded = module.unload();
    result.and(unloaded)
}

pub fn load(t: &Ctx) -> Result<()> {
    let path = t.helpers.join("lessor/nk_lessor.ko");
    let file = File::open(&path).with_context(|| path.display().to_string())?;
    let insert = || finit_module(&file, c"", ModuleInitFlags::empty());
    match insert() {
        // A test that failed half way must not decide over the next one.
        Err(Errno::EEXIST) => {
            unload()?;
            insert()
        }
        answer => answer,
    }
    .context("loading nk_lessor")
}

pub fn unload() -> Result<()> {
    delete_module(c"nk_lessor", DeleteModuleFlags::O_NONBLOCK).context("unloading nk_lessor")
}

/// A card in a namespace.
#[derive(Clone)]
pub struct Card {
    pub ns: Ns,
    pub index: u32,
}

/// The card whose queues are leased, in the host, and the far one.
#[derive(Clone)]
pub struct Cable {
    pub phys: Card,
    pub far: Card,
}

/// A cable from the host to a world of its own, with both ends up; the end in the host has so many queues.
pub fn cable(t: &Ctx, queues: u32, lacks: u32) -> Result<Cable> {
    let world = t.ns()?;
    let cable = Cable {
        phys: Card::create(&t.host, "phys", queues, lacks, None)?,
        far: Card::create(&t.host, "far", 1, 0, Some("phys"))?,
    };
    t.host.move_to(cable.far.index, &world)?;
    let cable = Cable {
        far: Card {
            index: world.link("far")?.index,
            ns: world,
        },
        ..cable
    };
    cable.phys.ns.up(cable.phys.index)?;
    cable.far.ns.up(cable.far.index)?;
    Ok(cable)
}

impl Card {
    pub fn create(
        ns: &Ns,
        name: &str,
        queues: u32,
        lacks: u32,
        other: Option<&str>,
    ) -> Result<Self> {
        let mut data = Attrs::new();
        data.u32(LACKS, lacks);
        let mut attrs = linkinfo(KIND, Some(&data));
        attrs.str(libc::IFLA_IFNAME, name);
        attrs.u32(libc::IFLA_NUM_RX_QUEUES, queues);
        attrs.u32(libc::IFLA_NUM_TX_QUEUES, queues);
        if let Some(other) = other {
            attrs.u32(libc::IFLA_LINK, ns.link(other)?.index);
        }
        ns.new_link(&ifinfomsg(0, 0, 0), &attrs)?;
        Ok(Self {
            ns: ns.clone(),
            index: ns.link(name)?.index,
        })
    }

    fn set(&self, attr: u16, value: u32) -> Answer<()> {
        let mut data = Attrs::new();
        data.u32(attr, value);
        self.ns.set_link(self.index, &linkinfo(KIND, Some(&data)))
    }

    /// The errno that setting up a pool and a wakeup return from now on; 0 for success.
    pub fn fail_with(&self, errno: i32) -> Answer<()> {
        self.set(ERROR, errno as u32)
    }

    /// The queue at which everything arrives from now on.
    pub fn steer(&self, queue: u32) -> Answer<()> {
        self.set(STEER, queue)
    }

    /// What a request calls one of the card's queues; `ns` is the number of the card's namespace there.
    pub fn offer(&self, queue: u32, ns: Option<i32>) -> Offer {
        Offer {
            index: self.index,
            queue,
            ns,
        }
    }

    pub fn seen(&self, queue: u32) -> Result<Seen> {
        let data = self.ns.link_by_index(self.index)?.data();
        let attr = data.iter().filter(|attr| attr.kind == QUEUE);
        let attr = attr.clone().nth(queue as usize).context("no such queue")?;
        let words: Vec<u32> = attr
            .payload
            .chunks_exact(4)
            .map(|word| u32::from_ne_bytes(word.try_into().unwrap_or_default()))
            .collect();
        ensure!(
            words.len() == 11,
            "struct lessor_seen has {} words",
            words.len()
        );
        Ok(Seen {
            has_pool: words[0],
            pools_set: words[1],
            pools_cleared: words[2],
            wakeups_rx: words[3],
            wakeups_tx: words[4],
            pool_sent: words[5],
            pool_received: words[6],
            has_provider: words[7],
            restarts: words[8],
            provider_received: words[9],
            stack_received: words[10],
        })
    }

    pub fn mac(&self) -> Result<Vec<u8>> {
        Ok(self.ns.link_by_index(self.index)?.mac())
    }
}
