// SPDX-License-Identifier: GPL-2.0

//! Ordered arrays of BPF programs at one attachment point.
//!
//! The comment of the C header, [`include/linux/bpf_mprog.h`](srctree/include/linux/bpf_mprog.h), describes the
//! protocol. The array exists twice (a bundle). A change is written to the copy that is not in use. Then the copy is
//! published, readers of the old copy are waited for, and the change is committed. [`Change`] does these last three
//! steps, always all of them, in this order.

use super::{
    attr::{Place, QueryRequest},
    prog::Prog, //
};
use crate::{
    bindings,
    errno::to_result,
    net::{
        device::{Device, DeviceType, NetDevice},
        new_device::NewDevice,
        rcu::{BhDisabled, ReadSide},
        rtnl::Rtnl,
        skb::Arrival, //
    }, //
};
use core::{
    cell::UnsafeCell,
    mem,
    ptr::{self, NonNull}, //
};
use kernel::{
    prelude::*,
    sync::{
        aref::ARef,
        atomic::{Atomic, Full}, //
    },
    types::Opaque, //
};

type Entry = bindings::bpf_mprog_entry;

/// The array of programs in use (`struct bpf_mprog_entry __rcu *`). All zeroes is null: no array.
///
/// # Invariants
///
/// Null, or points at one of the two entries of the [`Bundle`] beside it; changed under RTNL.
#[repr(transparent)]
pub(crate) struct Active(UnsafeCell<*mut Entry>);

// SAFETY: Zero is the null pointer, what `active` is while no program is attached.
unsafe impl Zeroable for Active {}
// SAFETY: Accessed with the RCU pointer macros, and changed only with a proof of RTNL.
unsafe impl Sync for Active {}

/// The two copies of the array, and the data of both (`struct bpf_mprog_bundle`).
///
/// The array holds a reference on each program that is attached without a link. A link holds the reference on its
/// program.
///
/// # Invariants
///
/// - All zeroes, or initialised by `bpf_mprog_bundle_init()`; changed under RTNL.
/// - Every link in it is a `DeviceLink` of `link.rs`, and the `dev` of the link is the device that this is part of.
#[repr(transparent)]
#[derive(Zeroable)]
pub(crate) struct Bundle(Opaque<bindings::bpf_mprog_bundle>);

// SAFETY: The bundle is changed under RTNL, and read under RTNL or RCU; each function takes the evidence.
unsafe impl Sync for Bundle {}

/// The private area of a device to which programs can be attached. [`impl_has_mprog!`] implements it.
///
/// # Safety
///
/// `active()` and `bundle()` must always return the same two fields of `self`. The driver's `StandIn::release()` must call
/// `Device::release_programs()`.
pub(crate) unsafe trait HasMprog {
    fn active(&self) -> &Active;

    fn bundle(&self) -> &Bundle;
}

/// Implements [`HasMprog`] for a private area, from the names of its two fields:
/// `impl_has_mprog! { unsafe impl HasMprog for Private { self.active, self.bundle } }`.
macro_rules! impl_has_mprog {
    // SAFETY: `active()` and `bundle()` below always return these fields; the caller claims the rest.
    (unsafe impl HasMprog for $private:ty { self.$active:ident, self.$bundle:ident }) => {
        // SAFETY: As above.
        unsafe impl $crate::bpf::mprog::HasMprog for $private {
            fn active(&self) -> &$crate::bpf::mprog::Active {
                &self.$active
            }

            fn bundle(&self) -> &$crate::bpf::mprog::Bundle {
                &self.$bundle
            }
        }
    };
}
pub(crate) use impl_has_mprog;

impl Active {
    /// The programs that run for a packet; `None` if no program is attached.
    #[inline(always)]
    pub(crate) fn programs<'a, R: ReadSide>(&'a self, read_side: &'a R) -> Option<Programs<'a, R>> {
        // SAFETY: The slot is `self`, a `struct bpf_mprog_entry __rcu *` that `rcu_dereference_bh()` only loads.
        let entry = unsafe { bindings::netkit_rs_rcu_dereference_bh(self.0.get().cast()) };
        // INVARIANT: By the type invariant; an entry that is no longer in use is not written to before a grace period
        // has ended.
        Some(Programs {
            entry: NonNull::new(entry.cast())?,
            _read_side: read_side,
        })
    }
}

/// The attachment point of a device.
///
/// # Invariants
///
/// `active` and `bundle` are those of the private area of `dev`.
#[derive(Clone, Copy)]
pub(crate) struct Mprog<'a> {
    dev: &'a NetDevice,
    active: &'a Active,
    bundle: &'a Bundle,
}

impl<'a> Mprog<'a> {
    /// The entry in use. If there is none, with `fallback` an empty entry. `None` also for a bundle that was never
    /// initialised.
    fn entry(&self, fallback: bool, _rtnl: &Rtnl) -> Option<*mut Entry> {
        // SAFETY: The slot is a `struct bpf_mprog_entry __rcu *`; RTNL protects it, so that
        // `rtnl_dereference()` may load it.
        let active = unsafe { bindings::netkit_rs_rtnl_dereference(self.active.0.get().cast()) };
        if !active.is_null() {
            return Some(active.cast());
        }
        // SAFETY: `bundle` is a `struct bpf_mprog_bundle`: this is the address of its member `a`.
        let empty = unsafe { &raw mut (*self.bundle.0.get()).a };
        // SAFETY: As above.
        let initialised = !unsafe { (*empty).parent }.is_null();
        (fallback && initialised).then_some(empty)
    }

    /// Attaches a program.
    ///
    /// `EEXIST`, `ERANGE`, `ESTALE` and others, as from `bpf_mprog_attach()`; `ENODEV` for a device that is being
    /// unregistered.
    pub(crate) fn attach(
        self,
        prog: &Prog,
        replace: Option<&Prog>,
        place: &Place,
        rtnl: &Rtnl,
    ) -> Result {
        let reference: ARef<Prog> = prog.into();
        let replace = replace.map_or(ptr::null_mut(), Prog::as_ptr);
        // SAFETY: The program is referenced, there is no link, and `replace` is null or a valid program.
        let change = unsafe { self.attach_raw(prog, ptr::null_mut(), replace, place, rtnl) }?;
        // The array holds the reference now.
        mem::forget(reference);
        change.commit();
        Ok(())
    }

    /// Attaches the program of a link. The errors are those of [`Self::attach`].
    ///
    /// # Safety
    ///
    /// `link` must be a valid [`DeviceLink`] with `prog` as its program; on success its `dev` must be set to the
    /// device of `self` before RTNL is released.
    pub(super) unsafe fn attach_link(
        self,
        prog: &Prog,
        link: *mut bindings::bpf_link,
        place: &Place,
        rtnl: &'a Rtnl,
    ) -> Result<Change<'a>> {
        // SAFETY: By the function's safety requirement; the link references the program.
        unsafe { self.attach_raw(prog, link, ptr::null_mut(), place, rtnl) }
    }

    /// Replaces the program of a link, `old`, by `prog`, at the same place.
    ///
    /// # Safety
    ///
    /// `link` must be a valid [`DeviceLink`] with `old` as its program; on success `prog` must become its program
    /// before RTNL is released.
    pub(super) unsafe fn replace_link(
        self,
        prog: &Prog,
        link: *mut bindings::bpf_link,
        old: &Prog,
        rtnl: &'a Rtnl,
    ) -> Result<Change<'a>> {
        if self.entry(false, rtnl).is_none() {
            return Err(ENOENT);
        }
        let place = Place {
            flags: bindings::BPF_F_REPLACE | bindings::BPF_F_ID,
            relative: old.id(),
            ..Place::ANY
        };
        // SAFETY: By the function's safety requirement.
        unsafe { self.attach_raw(prog, link, old.as_ptr(), &place, rtnl) }
    }

    /// # Safety
    ///
    /// `link` must be null or a valid link of the kind [`DeviceLink`] for the device of `self`, `replace` null or
    /// a valid program. Without a link the caller gives a reference on `prog` to the array.
    unsafe fn attach_raw(
        self,
        prog: &Prog,
        link: *mut bindings::bpf_link,
        replace: *mut bindings::bpf_prog,
        place: &Place,
        rtnl: &'a Rtnl,
    ) -> Result<Change<'a>> {
        // A program or link that is attached after `ndo_uninit` would never be released.
        if !self.dev.is_registered() {
            return Err(ENODEV);
        }
        // The array's programs run on packets. `bpf_mprog_attach()` compares the type only with a program that is named.
        if !prog.is_sched_cls() {
            return Err(EINVAL);
        }
        let old = self.entry(true, rtnl).ok_or(ENODEV)?;
        let mut new = ptr::null_mut();
        // SAFETY: The entry is part of an initialised bundle, RTNL is its lock, and by the function's safety
        // requirement the other arguments are valid.
        to_result(unsafe {
            bindings::bpf_mprog_attach(
                old,
                &mut new,
                prog.as_ptr(),
                link,
                replace,
                place.flags,
                place.relative,
                place.revision,
            )
        })?;
        Ok(Change {
            mprog: self,
            old,
            publish: (new != old).then_some(new),
            _rtnl: rtnl,
        })
    }

    /// Detaches a program, or the program that `place` names. `ENOENT` if nothing is attached.
    pub(crate) fn detach(self, prog: Option<&Prog>, place: &Place, rtnl: &Rtnl) -> Result {
        let prog = prog.map_or(ptr::null_mut(), Prog::as_ptr);
        self.detach_raw(prog, ptr::null_mut(), place, rtnl)?
            .commit();
        Ok(())
    }

    /// Detaches a link. `ENOENT` if this link is not attached.
    pub(super) fn detach_link(
        self,
        prog: *mut bindings::bpf_prog,
        link: *mut bindings::bpf_link,
        rtnl: &'a Rtnl,
    ) -> Result<Change<'a>> {
        self.detach_raw(prog, link, &Place::ANY, rtnl)
    }

    fn detach_raw(
        self,
        prog: *mut bindings::bpf_prog,
        link: *mut bindings::bpf_link,
        place: &Place,
        rtnl: &'a Rtnl,
    ) -> Result<Change<'a>> {
        let old = self.entry(false, rtnl).ok_or(ENOENT)?;
        let mut new = ptr::null_mut();
        // SAFETY: The entry is part of an initialised bundle, and RTNL is its lock; program and link are only
        // compared with what the array holds.
        to_result(unsafe {
            bindings::bpf_mprog_detach(
                old,
                &mut new,
                prog,
                link,
                place.flags,
                place.relative,
                place.revision,
            )
        })?;
        // SAFETY: `bpf_mprog_detach()` has returned an entry of the same bundle, whose `parent` `bpf_mprog_total()`
        // reads.
        if unsafe { bindings::netkit_rs_bpf_mprog_total(new) } == 0 {
            new = ptr::null_mut();
        }
        Ok(Change {
            mprog: self,
            old,
            publish: Some(new),
            _rtnl: rtnl,
        })
    }

    /// Writes the attached programs and links to user space (`bpf_mprog_query()`). `ENOSPC` if the buffers are too
    /// small.
    pub(crate) fn query(self, request: &QueryRequest<'_>, rtnl: &Rtnl) -> Result {
        let entry = self.entry(false, rtnl).unwrap_or(ptr::null_mut());
        // SAFETY: The request is the system call's, the entry null or valid, and RTNL its lock.
        to_result(unsafe { bindings::bpf_mprog_query(request.as_ptr(), request.user_ptr(), entry) })
    }

    /// Detaches everything from a device that is being unregistered: puts the programs, and calls `forget` for links.
    pub(super) fn release_all(self, rtnl: &Rtnl, forget: impl Fn(*mut bindings::bpf_link)) {
        let Some(entry) = self.entry(false, rtnl) else {
            return;
        };
        self.publish(ptr::null_mut(), rtnl);
        // SAFETY: RTNL is held, so this is a context that may sleep.
        unsafe { bindings::synchronize_rcu() };
        // SAFETY: By the type invariant the entry is part of a bundle that `bpf_mprog_bundle_init()` has initialised,
        // which set `parent`.
        let bundle = unsafe { (*entry).parent };
        for i in 0..bindings::BPF_MPROG_MAX as usize {
            // SAFETY: Both arrays have BPF_MPROG_MAX items.
            let (prog, link) = unsafe { ((*entry).fp_items[i].prog, (*bundle).cp_items[i].link) };
            if prog.is_null() {
                break;
            }
            if link.is_null() {
                // SAFETY: An item without a link holds the reference that `attach()` gave it. `synchronize_rcu()` has
                // returned, so nobody runs the program.
                unsafe { bindings::bpf_prog_put(prog) };
            } else {
                forget(link);
            }
        }
    }

    /// Makes `entry` the array in use.
    fn publish(self, entry: *mut Entry, _rtnl: &Rtnl) {
        // SAFETY: The slot is a valid pointer to a pointer, and RTNL excludes other writers.
        // INVARIANT: Callers pass null or an entry of this bundle.
        unsafe { bindings::netkit_rs_rcu_assign_pointer(self.active.0.get().cast(), entry.cast()) };
    }
}

/// The programs of an attachment point at one moment.
///
/// # Invariants
///
/// `entry` is valid during the critical section of `_read_side`.
pub(crate) struct Programs<'a, R> {
    entry: NonNull<Entry>,
    _read_side: &'a R,
}

impl<R: ReadSide> Programs<'_, R> {
    /// Runs the programs in their order until a program returns a verdict other than `next`
    /// (`bpf_mprog_foreach_prog()`). `default` is the verdict of an empty array.
    #[inline(always)]
    pub(crate) fn run(
        &self,
        packet: &mut Arrival,
        default: i32,
        next: i32,
        _bh: &BhDisabled,
    ) -> i32 {
        // SAFETY: By the type invariant the entry is valid.
        let items = unsafe { &raw const (*self.entry.as_ptr()).fp_items };
        let mut item = items.cast::<bindings::bpf_mprog_fp>();
        let mut verdict = default;
        loop {
            // SAFETY: The array ends with a null item, and the loop ends there. An item may be replaced while it is
            // read: hence volatile, as READ_ONCE() in C.
            let prog = unsafe { (&raw const (*item).prog).read_volatile() };
            if prog.is_null() {
                return verdict;
            }
            // SAFETY: The packet is valid and owned by the type of `packet`, and bottom halves are disabled, which
            // `bpf_prog_run()` requires. The program is valid until the grace period for which `Change` waits
            // (`synchronize_rcu()`) before `bpf_mprog_commit()`.
            verdict = unsafe {
                bindings::netkit_rs_bpf_compute_data_pointers(packet.as_ptr());
                bindings::netkit_rs_bpf_prog_run(prog, packet.as_ptr().cast()) as i32
            };
            if verdict != next {
                return verdict;
            }
            // SAFETY: The next item exists, because this one is not null, as above.
            item = unsafe { item.add(1) };
        }
    }
}

impl<T: DeviceType<Private: HasMprog>> NewDevice<'_, T> {
    /// Initialises the attachment point (`bpf_mprog_bundle_init()`).
    pub(crate) fn init_mprog(&self) {
        // SAFETY: By the invariant of `NewDevice` nobody else uses the device: nothing is attached that
        // `bpf_mprog_bundle_init()` could overwrite.
        unsafe { bindings::netkit_rs_bpf_mprog_bundle_init(self.private().bundle().0.get()) };
    }
}

impl<T: DeviceType<Private: HasMprog>> Device<T> {
    /// The attachment point of the device.
    pub(crate) fn mprog(&self) -> Mprog<'_> {
        let private = self.private();
        // INVARIANT: By the safety requirement of `HasMprog`.
        Mprog {
            dev: self,
            active: private.active(),
            bundle: private.bundle(),
        }
    }
}

/// A change that was written to the bundle, and that readers do not see yet.
///
/// The change must be committed. Dropping it commits it, because it cannot be undone.
///
/// # Invariants
///
/// `old` is the entry that was in use. `publish` is the entry that replaces it, if any.
#[must_use = "a change has to be committed"]
pub(super) struct Change<'a> {
    mprog: Mprog<'a>,
    old: *mut Entry,
    publish: Option<*mut Entry>,
    _rtnl: &'a Rtnl,
}

impl Change<'_> {
    /// Publishes the new array, waits until nobody runs the old one, and puts the program that was detached.
    pub(super) fn commit(self) {}

    /// Whether the change was made in the array that is in use, as a replacement is. Then there is nothing to publish.
    pub(super) fn is_in_place(&self) -> bool {
        self.publish.is_none()
    }
}

impl Drop for Change<'_> {
    fn drop(&mut self) {
        if let Some(entry) = self.publish {
            self.mprog.publish(entry, self._rtnl);
            // SAFETY: RTNL is held, so this is a context that may sleep.
            unsafe { bindings::synchronize_rcu() };
        }
        // SAFETY: By the type invariant `old` is an entry of an initialised bundle. After `synchronize_rcu()`, or for a
        // change in place, nobody runs the program that `bpf_mprog_commit()` puts: `bundle->ref`.
        unsafe { bindings::netkit_rs_bpf_mprog_commit(self.old) };
    }
}

/// `xchg()` on the program of a link.
///
/// # Safety
///
/// `slot` must be valid, and written with atomic operations only.
pub(super) unsafe fn exchange_prog(
    slot: *mut *mut bindings::bpf_prog,
    prog: *mut bindings::bpf_prog,
) -> *mut bindings::bpf_prog {
    // SAFETY: By the function's safety requirement.
    unsafe { Atomic::from_ptr(slot) }.xchg(prog, Full)
}
