// SPDX-License-Identifier: GPL-2.0

//! Requests of the bpf(2) system call (`union bpf_attr`), one view per command.
//!
//! The system call has copied the union from user space, and zeroed what user space left out.
//!
//! C header: [`include/uapi/linux/bpf.h`](srctree/include/uapi/linux/bpf.h)

use crate::bindings;

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

    pub(crate) fn attach_flags(&self) -> u32 {
        self.view().attach_flags
    }

    pub(crate) fn replace_bpf_fd(&self) -> u32 {
        self.view().replace_bpf_fd
    }

    /// What the place in the order is relative to: a file descriptor or, with `BPF_F_ID`, an id.
    pub(crate) fn relative(&self) -> u32 {
        // SAFETY: `relative_fd` shares its word with `relative_id`, and both are `__u32`.
        unsafe { self.view().__bindgen_anon_2.relative_fd }
    }

    pub(crate) fn expected_revision(&self) -> u64 {
        self.view().expected_revision
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

    pub(crate) fn flags(&self) -> u32 {
        self.view().flags
    }

    /// What the place in the order is relative to: a file descriptor or, with `BPF_F_ID`, an id.
    pub(crate) fn relative(&self) -> u32 {
        // SAFETY: `netkit` is one of the union's members that are plain numbers, `relative_fd` one word with
        // `relative_id`.
        unsafe {
            self.view()
                .__bindgen_anon_3
                .netkit
                .__bindgen_anon_1
                .relative_fd
        }
    }

    pub(crate) fn expected_revision(&self) -> u64 {
        // SAFETY: `netkit` is one of the union's members that are plain numbers, and `expected_revision` a `__u64`.
        unsafe { self.view().__bindgen_anon_3.netkit.expected_revision }
    }
}

/// `BPF_PROG_QUERY`.
///
/// # Invariants
///
/// The union holds such a request, and `uattr` is where user space has it.
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
        // SAFETY: By the type invariant; a plain number, whichever member wrote it.
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
