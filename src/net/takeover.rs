// SPDX-License-Identifier: GPL-2.0

//! Taking over the devices of the built-in driver, and handing them back, while they work.
//!
//! A device changes its driver by three pointers: `netdev_ops`, `ethtool_ops` and `queue_mgmt_ops`. New devices come from
//! the callbacks of the built-in link type, which are exchanged as well; the link type itself stays.
//!
//! | what runs in a driver's functions | what an exchange does about it |
//! |---|---|
//! | most operations of a device, link type | holds RTNL |
//! | `get_drvinfo`, `ndo_queue_create` | holds the device's instance lock |
//! | `ndo_start_xmit` and others under RCU | nothing: old and new functions work on the same device at the same time |
//! | anything that is still in the module's functions | `finish()` waits for it before the module goes |
//!
//! RTNL is held for a batch of devices at a time, so the two drivers are mixed for a while. Three rules make sure that
//! no device is left out: the link type changes hands in the first batch, so that new devices are right from the
//! start; a device that moves to another namespace changes hands then ([`Takeover::registered`]); and each device that
//! the module has is counted.
//!
//! C headers: [`include/linux/netdevice.h`](srctree/include/linux/netdevice.h),
//! [`include/net/rtnetlink.h`](srctree/include/net/rtnetlink.h)

use super::{
    builtin::BuiltIn,
    device::{Device, NetDevice},
    link,
    namespace::AllDevices,
    rtnl::{Rtnl, RtnlGuard}, //
};
use crate::bindings;
use core::{
    cell::UnsafeCell,
    marker::PhantomData,
    ptr, //
};
use kernel::{
    prelude::*,
    sync::atomic::{Atomic, Full, Relaxed},
    time::{delay::fsleep, Delta, Instant, Monotonic}, //
};

/// How many devices are looked at while RTNL is held once. Some 250 ns each, on an emulated CPU.
const BATCH: usize = 2048;

/// How long a caller waits for RTNL that must not wait for ever. Three seconds were seen on a busy machine.
const PATIENCE: Delta = Delta::from_secs(10);

/// A driver.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    BuiltIn,
    Module,
}

/// How far the takeover has come.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// All devices are the built-in driver's.
    Off,
    /// All devices are the module's.
    On,
    /// RTNL was not to be had: some devices are with the wrong driver.
    Incomplete,
}

/// Which of two drivers has the devices of `T`: one static per driver.
///
/// # Invariants
///
/// `callbacks` holds those of the built-in link type from the first exchange on. `devices` is the number of devices with
/// the operations of `T` that are registered, or past `ndo_init` and not past `ndo_uninit`. RTNL protects both.
pub(crate) struct Takeover<T> {
    callbacks: UnsafeCell<bindings::rtnl_link_ops>,
    devices: Atomic<u32>,
    /// Every task runs the livepatch's functions.
    patched: Atomic<u32>,
    /// The administrator wants the devices to be with the built-in driver.
    declined: Atomic<u32>,
    /// Another livepatch is coming.
    aside: Atomic<u32>,
    incomplete: Atomic<u32>,
    _driver: PhantomData<fn() -> T>,
}

// SAFETY: `callbacks` is used under RTNL only; the rest is atomic.
unsafe impl<T> Sync for Takeover<T> {}

impl<T: BuiltIn> Takeover<T> {
    pub(crate) const fn new() -> Self {
        Self {
            callbacks: UnsafeCell::new(pin_init::zeroed()),
            devices: Atomic::new(0),
            patched: Atomic::new(0),
            declined: Atomic::new(0),
            aside: Atomic::new(0),
            incomplete: Atomic::new(0),
            _driver: PhantomData,
        }
    }

    /// The number of devices that the module has.
    pub(crate) fn devices(&self) -> u32 {
        self.devices.load(Relaxed)
    }

    pub(crate) fn state(&self) -> State {
        if self.incomplete.load(Relaxed) != 0 {
            State::Incomplete
        } else {
            match self.wanted() {
                Side::Module => State::On,
                Side::BuiltIn => State::Off,
            }
        }
    }

    /// Who is to have the devices.
    fn wanted(&self) -> Side {
        let no = |flag: &Atomic<u32>| flag.load(Relaxed) == 0;
        if !no(&self.patched) && no(&self.declined) && no(&self.aside) {
            Side::Module
        } else {
            Side::BuiltIn
        }
    }

    /// Every task runs the livepatch's functions, from now on or no longer. May hold `klp_mutex`.
    pub(crate) fn set_patched(&self, patched: bool) {
        self.set(&self.patched, patched);
    }

    /// Another livepatch is coming, from now on or no longer.
    pub(crate) fn set_aside(&self, aside: bool) {
        self.set(&self.aside, aside);
    }

    fn set(&self, flag: &Atomic<u32>, value: bool) {
        // Fully ordered, as `wanted()` is read under RTNL: a batch that began before this sees the old value, and
        // `settle()` the devices of that batch.
        let before = self.wanted();
        flag.xchg(value.into(), Full);
        if self.wanted() == before && self.incomplete.load(Relaxed) == 0 {
            return;
        }
        // What could not be done was logged, and shows in the state.
        let _incomplete = self.settle();
    }

    /// The administrator wants the devices to be with the module, or with the built-in driver.
    ///
    /// `EAGAIN` unless every task runs the livepatch's functions, `EBUSY` where RTNL was not to be had.
    pub(crate) fn switch(&self, on: bool) -> Result {
        if on && self.patched.load(Relaxed) == 0 {
            return Err(EAGAIN);
        }
        self.declined.xchg((!on).into(), Full);
        self.settle()
    }

    /// Gives all devices to the driver that is to have them. `EBUSY`, with a line in the log, where RTNL was not to be
    /// had for some time.
    ///
    /// Waits no longer, as a holder of RTNL may wait for the caller: `team_mode_get()` loads a module with RTNL held, for
    /// which `klp_module_coming()` takes `klp_mutex`.
    fn settle(&self) -> Result {
        match self.exchange_all(|| Rtnl::lock_within(PATIENCE)) {
            Some(Done::Exchanged {
                side,
                devices,
                held,
            }) => {
                self.incomplete.store(0, Relaxed);
                if devices != 0 {
                    let held = held.as_micros_ceil();
                    match side {
                        Side::Module => pr_info!(
                            "took over {devices} devices, RTNL held for {held} us at most\n"
                        ),
                        Side::BuiltIn => pr_info!(
                            "handed {devices} devices back, RTNL held for {held} us at most\n"
                        ),
                    }
                }
                Ok(())
            }
            Some(Done::Overtaken) => Ok(()),
            None => {
                self.incomplete.store(1, Relaxed);
                let devices = self.devices();
                match self.wanted() {
                    Side::Module => pr_warn!(
                        "RTNL was busy for 10 s: {devices} devices taken over, others stay with the built-in driver; `netkit-rs load` goes on\n"
                    ),
                    Side::BuiltIn => pr_warn!(
                        "RTNL was busy for 10 s: {devices} devices are still the module's; `netkit-rs unload` goes on\n"
                    ),
                }
                Err(EBUSY)
            }
        }
    }

    /// Walks all devices, a batch for each RTNL that `lock` gets. `None` where it gets none.
    fn exchange_all(&self, lock: impl Fn() -> Option<RtnlGuard>) -> Option<Done> {
        let mut all = AllDevices::new();
        let mut first = None;
        let (mut devices, mut held) = (0u32, Delta::ZERO);
        loop {
            let rtnl = lock()?;
            let begun = Instant::<Monotonic>::now();
            let side = self.wanted();
            if *first.get_or_insert(side) as u8 != side as u8 {
                // Whoever changed it walks all devices, too.
                return Some(Done::Overtaken);
            }
            self.exchange_link_type(side, &rtnl);
            let more = all.visit(BATCH, &rtnl, |dev| {
                if self.belongs_to_other(dev, side) {
                    let _lock = dev.lock();
                    self.exchange(dev, side, &rtnl);
                    devices = devices.wrapping_add(1);
                }
            });
            let this_time = begun.elapsed();
            drop(rtnl);
            if this_time > held {
                held = this_time;
            }
            if !more {
                return Some(Done::Exchanged {
                    side,
                    devices,
                    held,
                });
            }
        }
    }

    /// A device has come to a namespace (`NETDEV_REGISTER`), under RTNL and, if its driver has operations under it, the
    /// instance lock.
    ///
    /// It may come from one that was not walked yet to one that was.
    pub(crate) fn registered(&self, dev: &NetDevice, rtnl: &Rtnl) {
        let side = self.wanted();
        if self.belongs_to_other(dev, side) {
            self.exchange(dev, side, rtnl);
        }
    }

    fn belongs_to_other(&self, dev: &NetDevice, side: Side) -> bool {
        let other = match side {
            Side::Module => T::netdev_ops(),
            Side::BuiltIn => T::ops().netdev_ops(),
        };
        ptr::eq(dev.netdev_ops(), other)
    }

    /// Gives `dev`, a device of one of the two drivers, to `side`. The caller holds its instance lock, too.
    fn exchange(&self, dev: &NetDevice, side: Side, rtnl: &Rtnl) {
        let (netdev, ethtool, queue_mgmt) = match side {
            Side::Module => {
                let ops = T::ops();
                (ops.netdev_ops(), ops.ethtool_ops(), ops.queue_mgmt_ops())
            }
            Side::BuiltIn => (T::netdev_ops(), T::ethtool_ops(), T::queue_mgmt_ops()),
        };
        let dev = dev.as_ptr();
        // SAFETY: The device is valid by its type invariant, and of one of the two drivers, which fit its private area
        // alike by the safety requirement of `BuiltIn`. RTNL and the instance lock exclude all who read a table twice, and
        // count on both being of one driver; senders load `netdev_ops` once (`__dev_queue_xmit()`). Both drivers have
        // `queue_mgmt_ops`, so that `netdev_need_ops_lock()` answers the same as before.
        unsafe {
            (&raw mut (*dev).netdev_ops).write_volatile(netdev);
            (&raw mut (*dev).ethtool_ops).write_volatile(ethtool);
            (&raw mut (*dev).queue_mgmt_ops).write_volatile(queue_mgmt);
        }
        match side {
            Side::Module => self.count_in(rtnl),
            Side::BuiltIn => self.count_out(rtnl),
        }
    }

    /// The module has one device more. RTNL excludes other writers.
    pub(super) fn count_in(&self, _rtnl: &Rtnl) {
        let devices = self.devices.load(Relaxed);
        self.devices.store(devices.wrapping_add(1), Relaxed);
    }

    fn count_out(&self, _rtnl: &Rtnl) {
        let devices = self.devices.load(Relaxed);
        self.devices.store(devices.wrapping_sub(1), Relaxed);
    }

    /// `dev`, a device of the module, is past its `ndo_uninit`: it lives on as the built-in driver's, as long as somebody
    /// holds it.
    pub(super) fn uninitialised(&self, dev: &Device<T>, rtnl: &Rtnl) {
        let _lock = dev.lock();
        self.exchange(dev, Side::BuiltIn, rtnl);
    }

    fn exchange_link_type(&self, side: Side, _rtnl: &Rtnl) {
        let ours = &const { link::Adapter::<T>::CALLBACKS };
        let (table, saved) = (T::link_ops(), self.callbacks.get());
        // SAFETY: The table is static, and `saved` is this value's. RTNL excludes all other users but those of `validate`,
        // which `rtnl_newlink()` and `rtnl_get_peer_net()` load more than once under `rtnl_link_ops::srcu`: neither
        // driver's is null, and each of them can follow the other.
        unsafe {
            let is_ours = (*table).newlink.map(|f| f as usize) == ours.newlink.map(|f| f as usize);
            match side {
                Side::Module if !is_ours => {
                    link::copy_callbacks(table, saved);
                    link::copy_callbacks(ours, table);
                }
                Side::BuiltIn if is_ours => link::copy_callbacks(saved, table),
                _ => {}
            }
        }
    }

    /// Hands everything back, and waits until nobody is inside a function of the module: the last step before the module
    /// goes. The livepatch must be disabled.
    pub(crate) fn finish(&self) {
        self.patched.xchg(0, Full);
        let (mut devices, mut rounds) = (0u32, 0u32);
        loop {
            if let Some(Done::Exchanged { devices: more, .. }) =
                self.exchange_all(|| Some(Rtnl::lock()))
            {
                devices = devices.wrapping_add(more);
            }
            // What is left is in namespaces that are on no list any more: `cleanup_net()` is about to delete it.
            let left = self.left(&Rtnl::lock());
            if left == 0 {
                break;
            }
            if rounds == 1000 {
                pr_warn!("waiting for a namespace to be torn down: {left} devices in it are the module's\n");
            }
            rounds = rounds.wrapping_add(1);
            fsleep(Delta::from_millis(10));
        }
        if devices != 0 {
            pr_info!("handed {devices} devices back at last\n");
        }
        // SAFETY: These may sleep, and nothing is held. In turn, they wait for: `validate`; packets and other calls under
        // RCU; functions that C calls with neither, and that do not sleep: `ndo_get_iflink` (`iflink_show()`),
        // `ndo_set_rx_headroom` and `ndo_get_stats64` (Open vSwitch), where a task may have been preempted.
        unsafe {
            bindings::synchronize_srcu(&raw mut (*T::link_ops()).srcu);
            bindings::synchronize_net();
            bindings::synchronize_rcu_tasks();
        }
    }

    fn left(&self, _rtnl: &Rtnl) -> u32 {
        self.devices()
    }
}

/// What became of a walk.
enum Done {
    /// `devices` went to `side`; RTNL was held no longer than `held` at a time.
    Exchanged {
        side: Side,
        devices: u32,
        held: Delta,
    },
    /// The devices are to be with the other side by now, and somebody else sees to it.
    Overtaken,
}
