// SPDX-License-Identifier: GPL-2.0

//! BPF links between a program and a network device.
//!
//! A link is the built-in driver's own struct, with the built-in driver's own table of operations. So no link points
//! into this module. While the module is loaded, livepatch replaces the functions of that table. After an unload, C's
//! functions find a link that they could have made.
//!
//! C header: [`include/linux/bpf.h`](srctree/include/linux/bpf.h)

use super::{
    attr::Place,
    mprog::{exchange_prog, HasMprog},
    prog::Prog, //
};
use crate::{
    bindings,
    errno::{to_result, ENOLINK},
    klp,
    net::{
        builtin::BuiltIn,
        device::{Device, DeviceType, NetDevice},
        rtnl::Rtnl, //
    },
    warn::warn_on_once, //
};
use core::{
    cell::UnsafeCell,
    marker::PhantomData,
    mem::{offset_of, MaybeUninit},
    ptr, //
};
use kernel::{
    error::from_result,
    ffi::c_int,
    prelude::*,
    seq_file::SeqFile,
    sync::aref::ARef,
    types::Opaque, //
};

/// A link whose target is a network device: a `struct bpf_link` and a `struct net_device *`, as in the built-in driver.
///
/// # Invariants
///
/// `dev` is null, or the device whose program array contains the link. RTNL protects it.
#[repr(C)]
#[derive(Zeroable)]
pub(crate) struct DeviceLink {
    link: Opaque<bindings::bpf_link>,
    dev: DevicePtr,
}

/// `struct net_device *`, without a reference: the code that detaches the link clears it.
#[repr(transparent)]
struct DevicePtr(UnsafeCell<*mut bindings::net_device>);

// SAFETY: Zero is the null pointer, the `dev` of a link without a device.
unsafe impl Zeroable for DevicePtr {}

/// A driver whose links are those of the built-in driver that it stands in for.
///
/// # Safety
///
/// The built-in driver's links must be of the type `LINK_TYPE` and have the table `link_lops()`, whose `dealloc` frees
/// them as `KBox` does. Their struct must be laid out as [`DeviceLink::LAYOUT`] says. While the module has devices, the
/// functions of [`LinkAdapter`] must replace those in the table.
pub(crate) unsafe trait BuiltInLinks: BuiltIn {
    /// `BPF_LINK_TYPE_*`.
    const LINK_TYPE: bindings::bpf_link_type;

    /// The operations (`struct bpf_link_ops`).
    fn link_lops() -> *const bindings::bpf_link_ops;
}

impl DeviceLink {
    /// The size of the struct, and the offsets of the link and the device in it.
    pub(crate) const LAYOUT: (usize, usize, usize) = (
        size_of::<Self>(),
        offset_of!(Self, link),
        offset_of!(Self, dev),
    );

    /// # Safety
    ///
    /// `link` must be a link of this kind that stays allocated for `'a`.
    unsafe fn from_raw<'a>(link: *const bindings::bpf_link) -> &'a Self {
        // SAFETY: By the function's safety requirement; the link is the first field.
        unsafe { &*link.cast() }
    }

    /// Clears the device of a link, because the device is being unregistered.
    ///
    /// # Safety
    ///
    /// `link` must be a valid link of this kind, and RTNL held.
    unsafe fn forget_device(link: *mut bindings::bpf_link) {
        // SAFETY: By the function's safety requirement.
        unsafe { Self::from_raw(link) }.set_device(ptr::null_mut());
    }

    fn set_device(&self, dev: *mut bindings::net_device) {
        // SAFETY: The callers hold RTNL, which protects the field.
        unsafe { *self.dev.0.get() = dev };
    }

    /// The device to which the link is attached; `None` after the link was detached or the device was unregistered.
    pub(crate) fn device<'a>(&self, _rtnl: &'a Rtnl) -> Option<&'a NetDevice> {
        // SAFETY: RTNL protects the field. By the type invariant the device has not completed its `ndo_uninit`, so it
        // exists as long as RTNL is held.
        unsafe { NetDevice::from_raw_opt(*self.dev.0.get()) }
    }

    /// The same device, as a device of the driver `T`.
    pub(crate) fn device_of<'a, T: BuiltIn>(&self, rtnl: &'a Rtnl) -> Option<&'a Device<T>> {
        self.device(rtnl).and_then(NetDevice::downcast)
    }

    /// The attach type of the program (`enum bpf_attach_type`).
    pub(crate) fn attach_type(&self) -> u32 {
        // SAFETY: By the type invariant the link is valid; only `bpf_link_init()` writes `link->attach_type`.
        unsafe { (*self.link.get()).attach_type }
    }

    /// The program of the link. While RTNL is held, it does not change.
    fn prog<'a>(&'a self, _rtnl: &'a Rtnl) -> Option<&'a Prog> {
        // SAFETY: The link is valid, and holds a reference on its program. `link->prog` is changed under RTNL only.
        unsafe { Prog::from_raw_opt((*self.link.get()).prog) }
    }

    /// Detaches the link from its device, `dev`. The link has no device after that.
    fn detach<T: DeviceType<Private: HasMprog>>(&self, dev: &Device<T>, rtnl: &Rtnl) -> Result {
        let prog = self.prog(rtnl).map_or(ptr::null_mut(), Prog::as_ptr);
        dev.mprog()
            .detach_link(prog, self.link.get(), rtnl)?
            .commit();
        self.set_device(ptr::null_mut());
        Ok(())
    }

    /// Replaces the program of the link, which is attached to `dev`.
    ///
    /// `EPERM` if the current program is not the program that the caller expects.
    pub(crate) fn update<T: DeviceType<Private: HasMprog>>(
        &self,
        dev: &Device<T>,
        new: &Prog,
        expected: Option<&Prog>,
        rtnl: &Rtnl,
    ) -> Result {
        let old = self.prog(rtnl).ok_or(ENOLINK)?;
        if expected.is_some_and(|expected| !ptr::eq(expected, old)) {
            return Err(EPERM);
        }
        if ptr::eq(old, new) {
            return Ok(());
        }
        let reference: ARef<Prog> = new.into();
        // SAFETY: The link is valid, and `old` is its program; `new` becomes its program below.
        let change = unsafe { dev.mprog().replace_link(new, self.link.get(), old, rtnl) }?;
        warn_on_once(!change.is_in_place());
        // SAFETY: The link is valid, and its field `prog` is written with xchg() only.
        let old = unsafe {
            exchange_prog(
                &raw mut (*self.link.get()).prog,
                ARef::into_raw(reference).as_ptr().cast(),
            )
        };
        // SAFETY: `old` was in `link->prog`, so the link had a reference on it. `bpf_prog_put()` frees after a grace
        // period (`__bpf_prog_put_rcu()`), because senders may still run the program.
        unsafe { bindings::bpf_prog_put(old) };
        change.commit();
        Ok(())
    }
}

/// A link that user space cannot reach yet. Dropping the value removes the link.
///
/// # Invariants
///
/// The primer is that of a link of the kind [`DeviceLink`], with the operations of `T`, which has `prog` as its program.
pub(crate) struct PrimedLink<T> {
    primer: bindings::bpf_link_primer,
    prog: ARef<Prog>,
    _driver: PhantomData<fn() -> T>,
}

impl<T: BuiltInLinks + DeviceType<Private: HasMprog>> PrimedLink<T> {
    /// Makes a link (`bpf_link_init()`, `bpf_link_prime()`), charged to the caller's memory cgroup. `ENOMEM`,
    /// `EMFILE` and more.
    pub(crate) fn new(prog: &Prog, attach_type: u32) -> Result<Self> {
        let link = KBox::<DeviceLink>::zeroed(GFP_KERNEL_ACCOUNT)?;
        // SAFETY: The memory is that of a link; the table is the built-in driver's, for links of this kind. `prog`
        // holds a reference on the program until the link is settled (`bpf_link_settle()`).
        unsafe {
            bindings::bpf_link_init(
                link.link.get(),
                T::LINK_TYPE,
                T::link_lops(),
                prog.as_ptr(),
                attach_type,
            )
        };
        let mut primer = MaybeUninit::zeroed();
        // SAFETY: `bpf_link_init()` has just run, and the primer is memory for the result. `bpf_link_prime()` does not
        // free the link on failure: the box does.
        to_result(unsafe { bindings::bpf_link_prime(link.link.get(), primer.as_mut_ptr()) })?;
        // The link's file owns it now.
        let _ = KBox::into_raw(link);
        // INVARIANT: Primed just now.
        Ok(Self {
            // SAFETY: Written by `bpf_link_prime()`.
            primer: unsafe { primer.assume_init() },
            prog: prog.into(),
            _driver: PhantomData,
        })
    }

    /// Attaches the link to `dev`, at the place that user space requests, and returns the file descriptor for user
    /// space. If the link cannot be attached, it is removed.
    pub(crate) fn attach(self, dev: &Device<T>, place: &Place, rtnl: &Rtnl) -> Result<c_int> {
        let link = self.primer.link;
        // SAFETY: By the type invariant; `dev` is set right here.
        unsafe { dev.mprog().attach_link(&self.prog, link, place, rtnl) }?.commit();
        // SAFETY: By the type invariant.
        // INVARIANT: The link is in the array of `dev`.
        unsafe { DeviceLink::from_raw(link) }.set_device(dev.as_ptr());
        Ok(self.settle())
    }

    /// Gives the link to user space (`bpf_link_settle()`).
    fn settle(self) -> c_int {
        let mut this = core::mem::ManuallyDrop::new(self);
        // SAFETY: By the type invariant. The link takes over the reference in `prog`, which is not dropped.
        unsafe { bindings::bpf_link_settle(&mut this.primer) }
    }
}

impl<T> Drop for PrimedLink<T> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant. `bpf_link_cleanup()` clears the link's program, so that only `prog` holds a
        // reference on it. The link is not attached: `attach()` consumes the value, and drops it only if it fails.
        unsafe { bindings::bpf_link_cleanup(&mut self.primer) };
    }
}

/// The result of `BPF_OBJ_GET_INFO_BY_FD` for a link.
pub(crate) struct LinkInfo<'a>(&'a mut bindings::bpf_link_info);

impl LinkInfo<'_> {
    /// Writes the fields that all links on devices have, whatever their type (`info.tcx` and others).
    pub(crate) fn set_device(&mut self, ifindex: u32, attach_type: u32) {
        self.0.__bindgen_anon_1.tcx.ifindex = ifindex;
        self.0.__bindgen_anon_1.tcx.attach_type = attach_type;
    }
}

/// A driver with links on its devices (`struct bpf_link_ops`).
///
/// All callbacks run in a context that may sleep, without RTNL.
pub(crate) trait BpfLinkDriver: BuiltInLinks + DeviceType<Private: HasMprog> {
    /// Replaces the program. `old` is the program that user space expects, if it named one.
    fn update(link: &DeviceLink, new: &Prog, old: Option<&Prog>) -> Result;

    /// `/proc/PID/fdinfo/FD`.
    fn show_fdinfo(link: &DeviceLink, seq: &SeqFile);

    /// `BPF_OBJ_GET_INFO_BY_FD`.
    fn fill_info(link: &DeviceLink, info: &mut LinkInfo<'_>);
}

impl<T: DeviceType<Private: HasMprog>> Device<T> {
    /// Detaches all programs and links from the device, which is being unregistered.
    pub(crate) fn release_programs(&self, rtnl: &Rtnl) {
        self.mprog().release_all(rtnl, |link| {
            // SAFETY: By the invariant of `Bundle` the link is of this kind. RTNL is held (`rtnl`). A link that is
            // attached is alive, because its release detaches it.
            unsafe { DeviceLink::forget_device(link) };
        });
    }
}

/// The functions that C calls (`struct bpf_link_ops`).
pub(crate) struct LinkAdapter<T>(PhantomData<T>);

impl<T: BpfLinkDriver> LinkAdapter<T> {
    /// Detaches the link, if it still has a device.
    fn leave_device(link: &DeviceLink) {
        let rtnl = Rtnl::lock();
        if let Some(dev) = link.device_of::<T>(&rtnl) {
            warn_on_once(link.detach(dev, &rtnl).is_err());
        }
    }

    /// The last reference on the link was put.
    ///
    /// # Safety
    ///
    /// `link` must be a valid link of this kind.
    pub(crate) unsafe extern "C" fn release(link: *mut bindings::bpf_link) {
        // SAFETY: By the function's safety requirement.
        Self::leave_device(unsafe { DeviceLink::from_raw(link) });
        klp::stay_on_stack();
    }

    /// User space detaches the link.
    ///
    /// # Safety
    ///
    /// `link` must be a valid link of this kind.
    pub(crate) unsafe extern "C" fn detach(link: *mut bindings::bpf_link) -> c_int {
        // SAFETY: By the function's safety requirement.
        Self::leave_device(unsafe { DeviceLink::from_raw(link) });
        0
    }

    /// # Safety
    ///
    /// `link` must be a link of this kind that nobody uses any more.
    pub(crate) unsafe extern "C" fn dealloc(link: *mut bindings::bpf_link) {
        // SAFETY: By the function's safety requirement. Allocated with kmalloc(), here as a box or in C.
        drop(unsafe { KBox::from_raw(link.cast::<DeviceLink>()) });
    }

    /// # Safety
    ///
    /// `link` must be a valid link of this kind, `new` a program with a reference that the callee takes over on
    /// success, `old` null or a valid program.
    pub(crate) unsafe extern "C" fn update(
        link: *mut bindings::bpf_link,
        new: *mut bindings::bpf_prog,
        old: *mut bindings::bpf_prog,
    ) -> c_int {
        // SAFETY: By the function's safety requirement.
        let (link, new_prog, old) = unsafe {
            (
                DeviceLink::from_raw(link),
                Prog::from_raw_opt(new),
                Prog::from_raw_opt(old),
            )
        };
        from_result(|| {
            T::update(link, new_prog.ok_or(EINVAL)?, old)?;
            // SAFETY: This puts the reference that `link_update()` got from `bpf_prog_get()`. `link_update()` itself
            // puts it only if `update_prog()` fails. The link has taken its own reference.
            unsafe { bindings::bpf_prog_put(new) };
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// `link` must be a valid link of this kind, `seq` a valid file that nobody else writes to.
    pub(crate) unsafe extern "C" fn fdinfo(
        link: *const bindings::bpf_link,
        seq: *mut bindings::seq_file,
    ) {
        // SAFETY: By the function's safety requirement.
        let (link, seq) = unsafe { (DeviceLink::from_raw(link), SeqFile::from_raw(seq.cast())) };
        T::show_fdinfo(link, seq);
    }

    /// # Safety
    ///
    /// `link` must be a valid link of this kind, `info` valid.
    pub(crate) unsafe extern "C" fn fill_info(
        link: *const bindings::bpf_link,
        info: *mut bindings::bpf_link_info,
    ) -> c_int {
        // SAFETY: By the function's safety requirement.
        let (link, info) = unsafe { (DeviceLink::from_raw(link), &mut *info) };
        T::fill_info(link, &mut LinkInfo(info));
        0
    }
}
