// SPDX-License-Identifier: GPL-2.0
//! Queues of devices, and leases between them, over generic netlink (family "netdev").

use std::os::fd::AsFd;
use std::os::fd::AsRawFd;

use super::attr;
use super::attr::Attr;
use super::attr::Attrs;
use super::genl::find;
use super::genl::Family;
use super::Answer;
use super::Refusal;

const NETDEV_CMD_DEV_GET: u8 = 1;
const NETDEV_CMD_QUEUE_GET: u8 = 10;
const NETDEV_CMD_BIND_TX: u8 = 15;
const NETDEV_CMD_QUEUE_CREATE: u8 = 16;
const NETDEV_A_DEV_IFINDEX: u16 = 1;
const NETDEV_A_DEV_XDP_FEATURES: u16 = 3;
pub const NETDEV_A_QUEUE_ID: u16 = 1;
const NETDEV_A_QUEUE_IFINDEX: u16 = 2;
const NETDEV_A_QUEUE_TYPE: u16 = 3;
const NETDEV_A_QUEUE_IO_URING: u16 = 6;
const NETDEV_A_QUEUE_XSK: u16 = 7;
const NETDEV_A_QUEUE_LEASE: u16 = 8;
const NETDEV_A_LEASE_IFINDEX: u16 = 1;
const NETDEV_A_LEASE_QUEUE: u16 = 2;
const NETDEV_A_LEASE_NETNS_ID: u16 = 3;
const NETDEV_A_DMABUF_IFINDEX: u16 = 1;
const NETDEV_A_DMABUF_FD: u16 = 3;
const NETDEV_A_DMABUF_ID: u16 = 4;
const RX: u32 = 0;

/// A receive queue as the kernel shows it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Queue {
    /// A socket has its buffers there (AF_XDP).
    pub xsk: bool,
    /// Memory of an io_uring is provided there.
    pub io_uring: bool,
    /// Index and queue of the device that has it on lease, and the number of that one's namespace.
    pub lease: Option<(u32, u32, Option<i32>)>,
}

/// A queue of a physical device that is to be leased, and how its namespace is called where that is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Offer {
    pub index: u32,
    pub queue: u32,
    pub ns: Option<i32>,
}

pub struct Netdev(Family);

impl Netdev {
    /// Opens a socket in the calling thread's network namespace.
    pub fn open() -> Answer<Self> {
        Ok(Self(Family::open("netdev")?))
    }

    /// What the device can do for XDP (`NETDEV_XDP_ACT_*`).
    pub fn xdp_features(&self, index: u32) -> Answer<u64> {
        let answer = self.0.ask(
            NETDEV_CMD_DEV_GET,
            Attrs::new().u32(NETDEV_A_DEV_IFINDEX, index),
        )?;
        let bytes = find(&answer, NETDEV_A_DEV_XDP_FEATURES).map(|attr| attr.payload);
        bytes
            .and_then(|bytes| bytes.try_into().ok())
            .map(u64::from_ne_bytes)
            .ok_or_else(|| Refusal::nonsense("a device without XDP features"))
    }

    pub fn queue(&self, index: u32, queue: u32) -> Answer<Queue> {
        let mut attrs = queue_id(queue);
        attrs.u32(NETDEV_A_QUEUE_IFINDEX, index);
        let answer = self.0.ask(NETDEV_CMD_QUEUE_GET, &attrs)?;
        let shown = |kind| find(&answer, kind);
        let lease = shown(NETDEV_A_QUEUE_LEASE).and_then(|lease| {
            let lease = lease.nested();
            let index = attr::find(&lease, NETDEV_A_LEASE_IFINDEX)?.u32()?;
            let queue = attr::find(&lease, NETDEV_A_LEASE_QUEUE)?.nested();
            let queue = attr::find(&queue, NETDEV_A_QUEUE_ID)?.u32()?;
            let ns = attr::find(&lease, NETDEV_A_LEASE_NETNS_ID).and_then(Attr::u32);
            Some((index, queue, ns.map(|id| id as i32)))
        });
        Ok(Queue {
            xsk: shown(NETDEV_A_QUEUE_XSK).is_some(),
            io_uring: shown(NETDEV_A_QUEUE_IO_URING).is_some(),
            lease,
        })
    }

    /// Makes a new queue on the device `index` that stands for the offered queue, and returns its number.
    pub fn lease(&self, index: u32, offer: Offer) -> Answer<u32> {
        let mut lease = Attrs::new();
        lease.u32(NETDEV_A_LEASE_IFINDEX, offer.index);
        lease.nest_flagged(NETDEV_A_LEASE_QUEUE, &queue_id(offer.queue));
        if let Some(id) = offer.ns {
            lease.put(NETDEV_A_LEASE_NETNS_ID, &id.to_ne_bytes());
        }
        let mut attrs = Attrs::new();
        attrs.u32(NETDEV_A_QUEUE_IFINDEX, index);
        attrs.u32(NETDEV_A_QUEUE_TYPE, RX);
        attrs.nest_flagged(NETDEV_A_QUEUE_LEASE, &lease);
        let answer = self.0.ask(NETDEV_CMD_QUEUE_CREATE, &attrs)?;
        find(&answer, NETDEV_A_QUEUE_ID)
            .and_then(|attr| attr.u32())
            .ok_or_else(|| Refusal::nonsense("a new queue without number"))
    }

    /// Maps a dmabuf for what sockets send through the device, and returns the number of the binding. It goes with this
    /// socket.
    pub fn bind_tx(&self, index: u32, dmabuf: impl AsFd) -> Answer<u32> {
        let mut attrs = Attrs::new();
        attrs.u32(NETDEV_A_DMABUF_IFINDEX, index);
        attrs.u32(NETDEV_A_DMABUF_FD, dmabuf.as_fd().as_raw_fd() as u32);
        self.bind_tx_with(&attrs)
    }

    /// As `bind_tx`, with these attributes.
    pub fn bind_tx_with(&self, attrs: &Attrs) -> Answer<u32> {
        let answer = self.0.ask(NETDEV_CMD_BIND_TX, attrs)?;
        find(&answer, NETDEV_A_DMABUF_ID)
            .and_then(|attr| attr.u32())
            .ok_or_else(|| Refusal::nonsense("a binding without number"))
    }
}

fn queue_id(queue: u32) -> Attrs {
    let mut attrs = Attrs::new();
    attrs.u32(NETDEV_A_QUEUE_ID, queue);
    attrs.u32(NETDEV_A_QUEUE_TYPE, RX);
    attrs
}
