// SPDX-License-Identifier: GPL-2.0

//! Queues that a netkit device leases from a physical device.
//!
//! The buffers of a socket, or a provider of receive memory, that are bound to such a queue are passed on to the
//! physical device. If the physical device is unregistered, the netkit devices that lease from it are deleted.

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
    /// `netkit_queue_create()`. In a pair only the peer leases queues, because the primary is the managing side.
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
    /// `netkit_xsk()`: for a single device, and a queue that it leases.
    fn setup_xsk_pool(dev: &Device<Self>, setup: &PoolSetup<'_>) -> Result {
        if !dev.private().is_single() {
            return Err(EOPNOTSUPP);
        }
        if setup.queue() >= dev.real_num_rx_queues() {
            return Err(EINVAL);
        }
        let queue = setup.leased_rx_queue().ok_or(EOPNOTSUPP)?;
        let phys = queue.device();
        if !phys.has_xsk_operations() {
            return Err(EOPNOTSUPP);
        }
        setup.forward(|lock| {
            if !lock.has_xsk_features() {
                return Err(EOPNOTSUPP);
            }
            if lock.min_mp_channel_count() != 0 {
                return Err(EBUSY);
            }
            Ok(())
        })
    }

    /// `netkit_xsk_wakeup()`.
    fn xsk_wakeup(dev: &Device<Self>, queue: u32, flags: u32, read_side: &impl ReadSide) -> Result {
        if queue >= dev.real_num_rx_queues() {
            return Err(EINVAL);
        }
        // The physical device has the operation, because a pool was set up.
        dev.leased_rx_queue(queue, read_side)
            .ok_or(EOPNOTSUPP)?
            .xsk_wakeup(flags, read_side)
    }
}
