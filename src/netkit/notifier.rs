// SPDX-License-Identifier: GPL-2.0

//! Events about network devices: what `netkit_notifier()` does, and devices that move to another namespace.

#![forbid(unsafe_code)]

use super::Netkit;
use crate::{
    builtin::TAKEOVER,
    net::{
        device::NetDevice,
        lease::delete_lessees,
        notifier::Listener,
        rtnl::Rtnl,
        rx_queue::Locked, //
    }, //
};

/// `netkit_notifier()`.
pub(crate) struct Notifier;

impl Listener for Notifier {
    fn register(locked: &Locked<'_>, rtnl: &Rtnl) {
        TAKEOVER.registered(locked, rtnl);
    }

    /// `netkit_check_lease_unregister()`: deletes the netkit devices that lease queues from a physical device, when
    /// that device is unregistered.
    fn unregister(dev: &NetDevice, rtnl: &Rtnl) {
        if dev.is_unregistering() && dev.has_parent() {
            delete_lessees::<Netkit>(dev, rtnl);
        }
    }
}
