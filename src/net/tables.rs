// SPDX-License-Identifier: GPL-2.0

//! The operations tables of a driver, made from all adapters.
//!
//! C header: [`include/linux/netdevice.h`](srctree/include/linux/netdevice.h)

use super::{
    device::Tables,
    ethtool::EthtoolAdapter,
    lease::{QueueAdapter, QueueDriver},
    ops::DeviceAdapter,
    takeover::{LifeAdapter, StandIn},
    xsk::{XskAdapter, XskDriver}, //
};
use crate::bindings;
use core::marker::PhantomData;

impl<T: StandIn + QueueDriver + XskDriver> Tables<T> {
    const NETDEV: bindings::net_device_ops = bindings::net_device_ops {
        ndo_init: Some(LifeAdapter::<T>::init),
        ndo_uninit: Some(LifeAdapter::<T>::uninit),
        ndo_bpf: Some(XskAdapter::<T>::bpf),
        ndo_xsk_wakeup: Some(XskAdapter::<T>::xsk_wakeup),
        ..DeviceAdapter::<T>::TABLE
    };

    /// The tables of `T`, for a static.
    pub(crate) const fn new() -> Self {
        const { Self::PRIVATE_FITS }
        // INVARIANT: The adapters are those of `T`.
        Self {
            netdev: Self::NETDEV,
            netdev_other: bindings::net_device_ops {
                ndo_start_xmit: Some(DeviceAdapter::<T>::start_xmit_other),
                ..Self::NETDEV
            },
            ethtool: EthtoolAdapter::<T>::TABLE,
            queue_mgmt: QueueAdapter::<T>::TABLE,
            _driver: PhantomData,
        }
    }
}
