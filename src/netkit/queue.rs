// SPDX-License-Identifier: GPL-2.0

//! Queues that a netkit device has on lease from a physical device.
//!
//! What is bound to such a queue, a socket's buffers or a provider of receive memory, is passed on to the physical
//! device. If that goes, so do the netkit devices that lease from it.

#![forbid(unsafe_code)]

use super::Netkit;
use crate::{
    errno::EOPNOTSUPP,
    net::{
        device::Device,
        extack::ExtAck,
        lease::QueueDriver,
        rcu::ReadSide,
        rx_queue::Locked,
        xsk::{PoolSetup, XskDriver}, //
    }, //
};
use kernel::prelude::*;

impl QueueDriver for Netkit {
    /// `netkit_queue_create()`. Of a pair only the peer leases queues, as the primary is the side that manages.
    fn queue_create(dev: &Device<Self>, locked: &Locked<'_>, extack: &mut ExtAck) -> Result<u32> {
        let nk = dev.private();
        if !nk.is_single() && nk.is_primary() {
            return Err(extack.error(EOPNOTSUPP, c"netkit can only lease against the peer device"));
        }
        let old = dev.real_num_rx_queues();
        let new = old + 1;
        locked.set_real_num_rx_queues(new).map_err(|err| {
            if new > dev.num_rx_queues() {
                extack.error(err, c"netkit maximum queue limit reached")
            } else {
                let errno = err.to_errno();
                extack.error_fmt(err, fmt!("netkit cannot create more queues err={errno}"))
            }
        })?;
        Ok(old)
    }
}

impl XskDriver for Netkit {
    /// `netkit_xsk()`: for a single device, and for a queue that it leases.
    fn setup_xsk_pool(dev: &Device<Self>, locked: &Locked<'_>, setup: &PoolSetup<'_>) -> Result {
        if !dev.private().is_single() {
            return Err(EOPNOTSUPP);
        }
        if !setup.is_setup() && locked.leased_rx_queue(setup.queue()).is_none() {
            // It was taken away when the lease ended. C answers an error, at which the stack warns.
            return Ok(());
        }
        if setup.queue() >= dev.real_num_rx_queues() {
            return Err(EINVAL);
        }
        let queue = locked.leased_rx_queue(setup.queue()).ok_or(EOPNOTSUPP)?;
        let phys = queue.device();
        if !phys.has_xsk_operations() {
            return Err(EOPNOTSUPP);
        }
        let lock = phys.lock();
        if setup.is_setup() {
            if !lock.has_xsk_features() {
                return Err(EOPNOTSUPP);
            }
            if lock.min_mp_channel_count() != 0 {
                return Err(EBUSY);
            }
        }
        setup.forward(&queue, &lock)
    }

    /// `netkit_xsk_wakeup()`.
    fn xsk_wakeup(dev: &Device<Self>, queue: u32, flags: u32, read_side: &impl ReadSide) -> Result {
        if queue >= dev.real_num_rx_queues() {
            return Err(EINVAL);
        }
        // A pool was set up, so that the physical device has the operation.
        dev.leased_rx_queue(queue, read_side)
            .ok_or(EOPNOTSUPP)?
            .xsk_wakeup(flags, read_side)
    }
}
