// SPDX-License-Identifier: GPL-2.0
//! The programs of `bpf/trace.c`, which trace a function of the kernel or of a module.

use std::ffi::CStr;
use std::ffi::CString;
use std::ptr;

use anyhow::anyhow;
use anyhow::Context;
use anyhow::Result;
use aya::include_bytes_aligned;
use libbpf_sys::bpf_link;
use libbpf_sys::bpf_object;
use libbpf_sys::bpf_program;
use nix::errno::Errno;

use super::check;

/// `struct seen` of bpf/trace.c.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Seen {
    pub count: u32,
    pub len: u32,
    pub ifindex: u32,
    pub result: i32,
    /// `hw_enc_features`, `vlan_features` and `mpls_features` of the device.
    pub features: [u64; 3],
}

/// The numbers of the programs.
#[derive(Clone, Copy)]
pub enum By {
    Fentry = 0,
    Fexit = 1,
    KprobeMulti = 2,
}

/// The attached programs. libbpf knows how to find a module's functions in the module's BTF; aya does not.
pub struct Tracer {
    object: *mut bpf_object,
    links: Vec<*mut bpf_link>,
}

impl Tracer {
    /// Traces the entry and the end of `function`, and by kprobes all functions that fit `pattern`.
    pub fn attach(function: &str, pattern: &str) -> Result<Self> {
        let bytes = include_bytes_aligned!(concat!(env!("OUT_DIR"), "/trace.o"));
        // SAFETY: The bytes are there as long as the test; there are no options.
        let object = unsafe {
            libbpf_sys::bpf_object__open_mem(bytes.as_ptr().cast(), bytes.len() as _, ptr::null())
        };
        let mut tracer = Self {
            object: not_null(object).context("trace.o")?,
            links: Vec::new(),
        };
        let function = CString::new(function)?;
        for name in [c"enter", c"leave"] {
            let program = tracer.program(name)?;
            // SAFETY: The program belongs to the object, which is not loaded yet; the name is a C string.
            check(unsafe {
                libbpf_sys::bpf_program__set_attach_target(program, 0, function.as_ptr())
            })?;
        }
        // SAFETY: The object is open.
        check(unsafe { libbpf_sys::bpf_object__load(tracer.object) })
            .with_context(|| format!("loading programs for {function:?}"))?;
        for name in [c"enter", c"leave"] {
            // SAFETY: The program is loaded.
            let link = unsafe { libbpf_sys::bpf_program__attach(tracer.program(name)?) };
            tracer.keep(link).with_context(|| format!("{name:?}"))?;
        }
        let pattern = CString::new(pattern)?;
        // SAFETY: The program is loaded, and the pattern is a C string; there are no options.
        let link = unsafe {
            libbpf_sys::bpf_program__attach_kprobe_multi_opts(
                tracer.program(c"multi")?,
                pattern.as_ptr(),
                ptr::null(),
            )
        };
        tracer.keep(link).context("kprobe.multi")?;
        Ok(tracer)
    }

    fn program(&self, name: &CStr) -> Result<*mut bpf_program> {
        // SAFETY: The object is open, and the name is a C string.
        let program =
            unsafe { libbpf_sys::bpf_object__find_program_by_name(self.object, name.as_ptr()) };
        not_null(program).with_context(|| format!("{name:?}"))
    }

    fn keep(&mut self, link: *mut bpf_link) -> Result<()> {
        self.links.push(not_null(link)?);
        Ok(())
    }

    pub fn seen(&self, by: By) -> Result<Seen> {
        let (key, mut seen) = (by as u32, Seen::default());
        // SAFETY: The key and the value are those of the map `seen`.
        check(unsafe {
            let map = libbpf_sys::bpf_object__find_map_fd_by_name(self.object, c"seen".as_ptr());
            libbpf_sys::bpf_map_lookup_elem(map, (&raw const key).cast(), (&raw mut seen).cast())
        })?;
        Ok(seen)
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        // SAFETY: Nobody else has the links or the object.
        unsafe {
            for &link in &self.links {
                libbpf_sys::bpf_link__destroy(link);
            }
            libbpf_sys::bpf_object__close(self.object);
        }
    }
}

/// libbpf answers null and sets errno.
fn not_null<T>(pointer: *mut T) -> Result<*mut T> {
    if pointer.is_null() {
        return Err(anyhow!(Errno::last()));
    }
    Ok(pointer)
}
