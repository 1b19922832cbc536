// SPDX-License-Identifier: GPL-2.0

//! Requests of the bpf(2) system call (`union bpf_attr`), one view per command.
//!
//! The system call has copied the union from user space, and zeroed the fields that user space left out.
//!
//! C header: [`include/uapi/linux/bpf.h`](srctree/include/uapi/linux/bpf.h)

use crate::bindings;

/// The place of a request among the programs of an attachment point, and the revision that the request expects.
pub(crate) struct Place {
    /// `BPF_F_BEFORE`, `BPF_F_AFTER`, `BPF_F_REPLACE`, `BPF_F_ID`, `BPF_F_LINK`.
    pub(crate) flags: u32,
    /// What the place is relative to: a file descriptor or, with `BPF_F_ID`, an id.
    pub(crate) relative: u32,
    /// The revision that the programs must be at; 0 for any.
    pub(crate) revision: u64,
}

impl Place {
    /// Any place.
    pub(crate) const ANY: Self = Self {
        flags: 0,
        relative: 0,
        revision: 0,
    };
}

/// `BPF_PROG_ATTACH` and `BPF_PROG_DETACH`.
///
/// # Invariants
///
/// The union holds such a request.
pub(crate) struct ProgRequest<'a>(&'a bindings::bpf_attr);

impl<'a> ProgRequest<'a> {
    /// # Safety
    ///
    /// `attr` must hold such a request, for `'a`.
    pub(crate) unsafe fn from_raw(attr: *const bindings::bpf_attr) -> Self {
        // SAFETY: By the function's safety requirement.
        Self(unsafe { &*attr })
    }

    fn view(&self) -> &bindings::bpf_attr__bindgen_ty_6 {
        // SAFETY: By the type invariant; all of it is plain numbers.
        unsafe { &self.0.__bindgen_anon_5 }
    }

    pub(crate) fn target_ifindex(&self) -> u32 {
        // SAFETY: `target_ifindex` shares its word with `target_fd`, and both are `__u32`.
        unsafe { self.view().__bindgen_anon_1.target_ifindex }
    }

    pub(crate) fn attach_type(&self) -> u32 {
        self.view().attach_type
    }

    /// The program to be replaced, if the flags request a replacement.
    pub(crate) fn replace_bpf_fd(&self) -> Option<u32> {
        let view = self.view();
        (view.attach_flags & bindings::BPF_F_REPLACE != 0).then_some(view.replace_bpf_fd)
    }

    pub(crate) fn place(&self) -> Place {
        let view = self.view();
        Place {
            flags: view.attach_flags,
            // SAFETY: `relative_fd` shares its word with `relative_id`, and both are `__u32`.
            relative: unsafe { view.__bindgen_anon_2.relative_fd },
            revision: view.expected_revision,
        }
    }
}

/// `BPF_LINK_CREATE` for a link on a network device.
///
/// # Invariants
///
/// The union holds such a request.
pub(crate) struct LinkRequest<'a>(&'a bindings::bpf_attr);

impl<'a> LinkRequest<'a> {
    /// # Safety
    ///
    /// `attr` must hold such a request, for `'a`.
    pub(crate) unsafe fn from_raw(attr: *const bindings::bpf_attr) -> Self {
        // SAFETY: By the function's safety requirement.
        Self(unsafe { &*attr })
    }

    fn view(&self) -> &bindings::bpf_attr__bindgen_ty_14 {
        // SAFETY: By the type invariant; all of it is plain numbers.
        unsafe { &self.0.link_create }
    }

    pub(crate) fn target_ifindex(&self) -> u32 {
        // SAFETY: `target_ifindex` shares its word with `target_fd`, and both are `__u32`.
        unsafe { self.view().__bindgen_anon_2.target_ifindex }
    }

    pub(crate) fn attach_type(&self) -> u32 {
        self.view().attach_type
    }

    pub(crate) fn place(&self) -> Place {
        let view = self.view();
        // SAFETY: All members of the union that are for links on devices consist of plain numbers, and `tcx` has the
        // same fields as the others.
        let tcx = unsafe { &view.__bindgen_anon_3.tcx };
        Place {
            flags: view.flags,
            // SAFETY: `relative_fd` shares its word with `relative_id`, and both are `__u32`.
            relative: unsafe { tcx.__bindgen_anon_1.relative_fd },
            revision: tcx.expected_revision,
        }
    }
}

/// `BPF_PROG_QUERY`.
///
/// # Invariants
///
/// The union holds such a request, and `uattr` is its address in user space.
pub(crate) struct QueryRequest<'a> {
    attr: &'a bindings::bpf_attr,
    uattr: *mut bindings::bpf_attr,
}

impl<'a> QueryRequest<'a> {
    /// # Safety
    ///
    /// `attr` must hold such a request, for `'a`, and `uattr` be the system call's pointer to user space.
    pub(crate) unsafe fn from_raw(
        attr: *const bindings::bpf_attr,
        uattr: *mut bindings::bpf_attr,
    ) -> Self {
        // SAFETY: By the function's safety requirement.
        let attr = unsafe { &*attr };
        Self { attr, uattr }
    }

    pub(crate) fn target_ifindex(&self) -> u32 {
        // SAFETY: By the type invariant; the field is a plain number, whichever member of the union was written.
        unsafe { self.attr.query.__bindgen_anon_1.target_ifindex }
    }

    pub(crate) fn attach_type(&self) -> u32 {
        // SAFETY: By the type invariant; a plain number.
        unsafe { self.attr.query.attach_type }
    }

    pub(crate) fn as_ptr(&self) -> *const bindings::bpf_attr {
        self.attr
    }

    pub(crate) fn user_ptr(&self) -> *mut bindings::bpf_attr {
        self.uattr
    }
}
