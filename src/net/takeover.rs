// SPDX-License-Identifier: GPL-2.0

//! Taking over the devices of the built-in driver, and handing them back, while the devices are in use.
//!
//! Three pointers determine the driver of a device: `netdev_ops`, `ethtool_ops` and `queue_mgmt_ops`. New devices come
//! from the callbacks of the built-in link type, which are exchanged as well; the link type itself stays.
//!
//! | what runs in a driver's functions | how an exchange deals with it |
//! |---|---|
//! | most operations of a device, link type | holds RTNL |
//! | `get_drvinfo`, `ndo_queue_create` | holds the device's instance lock |
//! | `ndo_start_xmit` and others under RCU | nothing: old and new functions work on the same device at the same time |
//! | anything that is still in the module's functions | [`Takeover::finish`] waits for it before the module goes |
//!
//! RTNL is held for one batch of devices at a time, so for a while some devices have one driver and some the other.
//! Three rules make sure that no device is left out:
//!
//! - The link type is exchanged in the first batch, so that new devices have the right driver from the start.
//! - A device that moves to another namespace is exchanged when it arrives ([`Takeover::registered`]).
//! - Each device of the module is counted, so that [`Takeover::finish`] knows when none is left.
//!
//! C headers: [`include/linux/netdevice.h`](srctree/include/linux/netdevice.h),
//! [`include/net/rtnetlink.h`](srctree/include/net/rtnetlink.h)

use super::{
    builtin::BuiltIn,
    device::{Device, NetDevice, Xmit},
    identity,
    namespace_walk::AllDevices,
    ops::Driver,
    rtnl::Rtnl,
    rtnl_link::{copy_callbacks, RtnlLinkAdapter, RtnlLinkDriver},
    rx_queue::Locked,
    takeover_job::{End, Flag, Job, Jobs, Outcome, Task, Walk, PAUSE}, //
};
use crate::bindings;
use core::{
    cell::UnsafeCell,
    marker::PhantomData,
    ptr, //
};
use kernel::{
    ffi::c_int,
    prelude::*,
    sync::atomic::{Atomic, Relaxed},
    time::{delay::fsleep, Delta, Instant, Monotonic}, //
};

/// The number of devices in a batch, for which RTNL is held once: some 280 instructions each.
const BATCH: usize = 512;

/// How long a caller waits for an exchange, which goes on without it then. Three seconds were seen on a busy machine.
const PATIENCE: Delta = Delta::from_secs(10);

/// A driver.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    BuiltIn,
    Module,
}

/// Which driver serves the devices.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// The built-in driver.
    Off,
    /// The module.
    On,
    /// Some devices have the wrong driver, because a lock was busy.
    Incomplete,
}

/// A driver that takes over the devices of a built-in one.
///
/// # Safety
///
/// `takeover()` must always return the same static. `release()` must remove whatever points at the device and does not
/// belong to the core: links, leases, its peer. `validate`, `iflink`, `set_rx_headroom` and `stats` must not sleep: C
/// calls them without a lock that a takeover could take.
pub(crate) unsafe trait StandIn: BuiltIn + Driver + RtnlLinkDriver {
    /// The state of the takeover.
    fn takeover() -> &'static Takeover<Self>;

    /// `ndo_uninit`: the device is being unregistered, and nothing may point at it any more.
    fn release(dev: &Device<Self>, rtnl: &Rtnl);
}

/// Which of two drivers serves the devices of `T`.
///
/// # Invariants
///
/// This is the only value for `T`. While the built-in link type has the callbacks of `T`, `callbacks` holds the
/// callbacks of the built-in driver. `devices` is the number of devices with the operations of `T` that are registered,
/// or past `ndo_init` and not past `ndo_uninit`. RTNL protects both.
pub(crate) struct Takeover<T> {
    callbacks: UnsafeCell<bindings::rtnl_link_ops>,
    devices: Atomic<u32>,
    /// The kernel is the one that the module was built for.
    checked: Flag,
    /// Every task has switched to the livepatch's functions once: before that, no device can be the module's.
    begun: Flag,
    /// Every task runs the livepatch's functions.
    patched: Flag,
    /// The administrator wants the built-in driver to serve the devices.
    declined: Flag,
    /// Another livepatch is being loaded, or has replaced this livepatch.
    aside: Flag,
    /// Devices that had [`Xmit::Other`] when they were handed back, since this was in the log.
    forgotten: Atomic<u32>,
    jobs: Jobs,
    _driver: PhantomData<fn() -> T>,
}

// SAFETY: RTNL, shown by `&Rtnl`, protects `callbacks`; the rest is atomic.
unsafe impl<T> Sync for Takeover<T> {}

impl<T: StandIn> Takeover<T> {
    /// # Safety
    ///
    /// There must be no other value for `T` than the static that `T::takeover()` returns.
    pub(crate) const unsafe fn new() -> Self {
        // INVARIANT: By the function's safety requirement; the module has no device yet, and the link type is
        // unchanged.
        Self {
            callbacks: UnsafeCell::new(pin_init::zeroed()),
            devices: Atomic::new(0),
            checked: Flag::new(),
            begun: Flag::new(),
            patched: Flag::new(),
            declined: Flag::new(),
            aside: Flag::new(),
            forgotten: Atomic::new(0),
            jobs: Jobs::new(),
            _driver: PhantomData,
        }
    }

    /// Checks the kernel. `ENODEV`, with a line in the log, if the module was not built for this kernel.
    pub(crate) fn prepare(&self) -> Result {
        identity::check::<T>()?;
        self.checked.set(true);
        Ok(())
    }

    /// The number of devices that the module serves.
    pub(crate) fn devices(&self) -> u32 {
        self.devices.load(Relaxed)
    }

    pub(crate) fn state(&self) -> State {
        match (self.jobs.is_incomplete(), self.wanted()) {
            (true, _) => State::Incomplete,
            (false, Side::Module) => State::On,
            (false, Side::BuiltIn) => State::Off,
        }
    }

    /// The driver that is to serve the devices.
    fn wanted(&self) -> Side {
        if self.patched.is_set() && !self.declined.is_set() && !self.aside.is_set() {
            Side::Module
        } else {
            Side::BuiltIn
        }
    }

    /// Says whether every task runs the livepatch's functions from now on. The caller may hold `klp_mutex`.
    pub(crate) fn set_patched(&'static self, patched: bool) {
        if patched {
            self.begun.set(true);
        }
        self.set(&self.patched, patched);
    }

    /// Says whether another livepatch is being loaded, or has replaced this livepatch, from now on.
    pub(crate) fn set_aside(&'static self, aside: bool) {
        self.set(&self.aside, aside);
    }

    fn set(&'static self, flag: &Flag, value: bool) {
        if flag.set(value) || self.jobs.is_incomplete() {
            // A failure is in the log, and in the state.
            let _incomplete = self.settle();
        }
    }

    /// The administrator wants the devices to have the module, or the built-in driver, as their driver.
    ///
    /// `EAGAIN` unless every task runs the livepatch's functions, and no other livepatch is being loaded; `EBUSY` if a
    /// lock was busy for 10 s: the exchange goes on without the caller. While the module is being loaded, this is only remembered.
    pub(crate) fn switch(&'static self, on: bool) -> Result {
        self.declined.set(!on);
        if !self.checked.is_set() {
            return Ok(());
        }
        if on && self.wanted() != Side::Module {
            return Err(EAGAIN);
        }
        self.settle()
    }

    /// Gives all devices to the wanted driver. `EBUSY`, with a line in the log, if RTNL or an instance lock was busy for
    /// `PATIENCE`: the exchange goes on without the caller. `ENOMEM`.
    ///
    /// The wait is limited because a holder of RTNL may wait for the caller: `team_mode_get()` loads a module with RTNL
    /// held, for which `klp_module_coming()` takes `klp_mutex`. So a worker waits for RTNL, in the queue with all others.
    /// (`rtnl_trylock()` would have no turn as long as others wait, on PREEMPT_RT above all.)
    fn settle(&'static self) -> Result {
        if !self.jobs.begin() {
            return Ok(());
        }
        let job = Job::<T>::start()?;
        match job.wait(PATIENCE) {
            Some(End::Complete) => {
                self.complete(&job.total);
                Ok(())
            }
            Some(End::Superseded) => Ok(()),
            None => {
                let devices = job.total.exchanged.load(Relaxed);
                match self.wanted() {
                    Side::Module => pr_warn!(
                        "RTNL was busy for 10 s: {devices} devices taken over, others stay with the built-in driver until it is free\n"
                    ),
                    Side::BuiltIn => pr_warn!(
                        "RTNL was busy for 10 s: {devices} devices handed back, {} are still ours until it is free\n",
                        self.devices()
                    ),
                }
                Err(EBUSY)
            }
        }
    }

    /// All devices have the wanted driver.
    fn complete(&self, total: &Walk) {
        self.say_forgotten();
        let (devices, held) = (total.exchanged.load(Relaxed), total.held.load(Relaxed));
        match self.wanted() {
            _ if devices == 0 => {}
            Side::Module => {
                pr_info!("took over {devices} devices, RTNL held for {held} us at most\n");
            }
            Side::BuiltIn => {
                pr_info!("handed {devices} devices back, RTNL held for {held} us at most\n");
            }
        }
    }

    fn say_forgotten(&self) {
        let forgotten = self.forgotten.xchg(0, Relaxed);
        if forgotten != 0 {
            pr_warn!("{forgotten} of the devices had options that the built-in driver does not have: they are forgotten\n");
        }
    }

    /// Gives all devices to the wanted driver, a batch each time that RTNL is taken.
    fn walk(&self, total: &Walk) -> Outcome {
        let mut all = AllDevices::new();
        let mut first = None;
        let mut missed = false;
        loop {
            let rtnl = Rtnl::lock();
            let begun = Instant::<Monotonic>::now();
            let side = self.wanted();
            if *first.get_or_insert(side) != side {
                // Who changed the wanted driver has a job of its own, which waits for this RTNL; or had no memory for it.
                return Outcome::Superseded;
            }
            self.exchange_link_type(side, &rtnl);
            let more = all.visit(BATCH, &rtnl, |dev| {
                if !self.is_with_other(dev, side) {
                    return;
                }
                match dev.try_lock() {
                    Some(lock) => {
                        if T::tables().xmit(dev.netdev_ops()) == Some(Xmit::Other) {
                            self.forgotten.fetch_add(1, Relaxed);
                        }
                        self.exchange(&Locked::from(&lock), side, &rtnl);
                        total.exchanged.fetch_add(1, Relaxed);
                    }
                    None => missed = true,
                }
            });
            let held = begun.elapsed().as_micros_ceil();
            drop(rtnl);
            if held > total.held.load(Relaxed) {
                total.held.store(held, Relaxed);
            }
            if !more {
                return if missed {
                    Outcome::Busy
                } else {
                    Outcome::Complete
                };
            }
            fsleep(PAUSE);
        }
    }

    /// A device has arrived in a namespace (`NETDEV_REGISTER`).
    ///
    /// It may come from a namespace that was not walked yet, to a namespace that was walked. (If memory is short,
    /// another listener may fail, and this listener is not called. Then the device is found when the module is
    /// removed.)
    pub(crate) fn registered(&self, locked: &Locked<'_>, rtnl: &Rtnl) {
        let side = self.wanted();
        if self.is_with_other(locked.device(), side) {
            self.exchange(locked, side, rtnl);
        }
    }

    /// Whether `dev` is a device of one of the two drivers, and not of `side`.
    fn is_with_other(&self, dev: &NetDevice, side: Side) -> bool {
        let ops = dev.netdev_ops();
        match side {
            Side::Module => ptr::eq(ops, T::netdev_ops()),
            Side::BuiltIn => T::tables().xmit(ops).is_some(),
        }
    }

    /// Gives the device, which belongs to the other driver, to `side`.
    fn exchange(&self, locked: &Locked<'_>, side: Side, rtnl: &Rtnl) {
        let (netdev, ethtool, queue_mgmt) = match side {
            Side::Module => {
                let ops = T::tables();
                let netdev = ops.netdev_ops(Xmit::Usual);
                (netdev, ops.ethtool_ops(), ops.queue_mgmt_ops())
            }
            Side::BuiltIn => (T::netdev_ops(), T::ethtool_ops(), T::queue_mgmt_ops()),
        };
        let dev = locked.device().as_ptr();
        // SAFETY: The device is valid by its type invariant, and of one of the two drivers, which both fit its private
        // area by the safety requirement of `BuiltIn`. RTNL and the instance lock exclude all callers that read a table
        // twice and need both reads to be of one driver; senders load `netdev_ops` once (`__dev_queue_xmit()`). Both
        // drivers have `queue_mgmt_ops`, so that `netdev_need_ops_lock()` returns the same as before.
        unsafe {
            (&raw mut (*dev).netdev_ops).write_volatile(netdev);
            (&raw mut (*dev).ethtool_ops).write_volatile(ethtool);
            (&raw mut (*dev).queue_mgmt_ops).write_volatile(queue_mgmt);
        }
        // INVARIANT: The device now has the operations of `T`, or no longer has them.
        match side {
            Side::Module => self.count(1, rtnl),
            Side::BuiltIn => self.count(-1, rtnl),
        }
    }

    /// The module has one device more, or one fewer. RTNL excludes other writers.
    fn count(&self, change: i32, _rtnl: &Rtnl) {
        let devices = self.devices.load(Relaxed);
        self.devices
            .store(devices.wrapping_add_signed(change), Relaxed);
    }

    /// `dev` is past its `ndo_uninit`. It now belongs to the built-in driver, because somebody may hold it for longer
    /// than the module exists.
    fn uninitialised(&self, dev: &Device<T>, rtnl: &Rtnl) {
        if self.is_with_other(dev, Side::BuiltIn) {
            let lock = dev.lock();
            self.exchange(&Locked::from(&lock), Side::BuiltIn, rtnl);
        }
    }

    fn exchange_link_type(&self, side: Side, _rtnl: &Rtnl) {
        let ours = &const { RtnlLinkAdapter::<T>::CALLBACKS };
        let (table, saved) = (T::link_ops(), self.callbacks.get());
        // SAFETY: The table is static, and `saved` belongs to this value. RTNL excludes other users of both, except for
        // `validate`: `rtnl_newlink()` and `rtnl_get_peer_net()` load it for a test and for the call, and neither
        // driver's is null. By the type invariant `saved` holds the built-in driver's callbacks if the table has ours.
        // INVARIANT: The built-in driver's callbacks are saved before the table is written.
        unsafe {
            let is_ours = (*table).newlink.map(|f| f as usize) == ours.newlink.map(|f| f as usize);
            match side {
                Side::Module if !is_ours => {
                    copy_callbacks(table, saved);
                    copy_callbacks(ours, table);
                }
                Side::BuiltIn if is_ours => copy_callbacks(saved, table),
                _ => {}
            }
        }
    }

    /// Hands everything back, and waits until no task is inside a function of the module. This is the last step before
    /// the module is removed. The livepatch must be disabled.
    pub(crate) fn finish(&self) {
        self.jobs.close();
        if !self.begun.is_set() {
            self.wait_for_functions();
            return;
        }
        self.patched.set(false);
        let total = Walk::new();
        let mut rounds = 0u32;
        loop {
            self.walk(&total);
            // Devices that are left are in namespaces that are no longer on the list: `cleanup_net()` is about to
            // delete them.
            let left = self.left(&Rtnl::lock());
            if left == 0 {
                break;
            }
            if rounds == 10_000 {
                pr_warn!(
                    "waiting for {left} devices, locked or in a namespace that is torn down\n"
                );
            }
            rounds = rounds.wrapping_add(1);
            fsleep(PAUSE);
        }
        self.say_forgotten();
        let exchanged = total.exchanged.load(Relaxed);
        if exchanged != 0 {
            pr_info!("handed {exchanged} devices back at last\n");
        }
        self.wait_for_functions();
    }

    /// Waits until no task is inside a function of the module that the exchange could not wait for.
    fn wait_for_functions(&self) {
        // SAFETY: Both may sleep, and no lock is held here. `synchronize_net()` waits for packets and other calls under
        // RCU. `synchronize_rcu_tasks()` waits for functions that C calls without any lock, in which a task may have
        // been preempted: `validate`, `ndo_get_iflink` (`iflink_show()`), `ndo_set_rx_headroom` and `ndo_get_stats64`
        // (Open vSwitch). By the safety requirement of `StandIn` they do not sleep. The same holds for the end of
        // `Job::run()`.
        unsafe {
            bindings::synchronize_net();
            bindings::synchronize_rcu_tasks();
        }
    }

    fn left(&self, _rtnl: &Rtnl) -> u32 {
        self.devices()
    }
}

impl<T: StandIn> Task for T {
    fn jobs() -> &'static Jobs {
        &T::takeover().jobs
    }

    fn walk(total: &Walk) -> Outcome {
        T::takeover().walk(total)
    }

    fn complete(total: &Walk) {
        T::takeover().complete(total);
    }
}

/// The callbacks that C calls when it registers and unregisters a device.
pub(super) struct LifeAdapter<T>(PhantomData<T>);

impl<T: StandIn> LifeAdapter<T> {
    /// # Safety
    ///
    /// `dev` must be a device of `T` that is being registered, under RTNL.
    pub(super) unsafe extern "C" fn init(dev: *mut bindings::net_device) -> c_int {
        // The lock classes of the device must belong to the kernel, because the device may outlive the module. SAFETY:
        // By the function's safety requirement, and that of `BuiltIn`: the built-in driver treats the device as its
        // own.
        let err = unsafe { (*T::netdev_ops()).ndo_init.map_or(0, |init| init(dev)) };
        if err == 0 {
            // SAFETY: By the function's safety requirement.
            let rtnl = unsafe { Rtnl::assume() };
            // INVARIANT: This is the `ndo_init` of `T`, which succeeds.
            T::takeover().count(1, &rtnl);
        }
        err
    }

    /// After this, the device belongs to the built-in driver: somebody may hold the device for longer than the module
    /// exists.
    ///
    /// # Safety
    ///
    /// `dev` must be a device of `T` that is being unregistered, under RTNL.
    pub(super) unsafe extern "C" fn uninit(dev: *mut bindings::net_device) {
        // SAFETY: By the function's safety requirement.
        let (dev, rtnl) = unsafe { (Device::<T>::from_raw(dev), Rtnl::assume()) };
        T::release(dev, &rtnl);
        T::takeover().uninitialised(dev, &rtnl);
    }
}
