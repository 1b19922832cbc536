// SPDX-License-Identifier: GPL-2.0
//! Memory for bpf(2)'s argument and the memory that it points to, with valid and invalid places.
//!
//! Five pages: two for the argument, one for the arrays of a query, one without access, one that is read-only. So tests
//! can check memory that the kernel must not write.

use std::ffi::c_void;
use std::num::NonZeroUsize;
use std::ptr::NonNull;

use nix::sys::mman::mmap_anonymous;
use nix::sys::mman::mprotect;
use nix::sys::mman::munmap;
use nix::sys::mman::MapFlags;
use nix::sys::mman::ProtFlags;
use nix::Result;

pub const PAGE: usize = 4096;
/// The same on every run, as a word may be the lower half of an address. Far above descriptors, ids and indexes.
const BASE: usize = 0x7_4000_0000;
/// Elements of one of the four arrays.
pub const ROOM: usize = 64;
/// Before the end of what may be written, for two elements.
const EDGE: usize = 3 * PAGE - 8;
const WRITABLE: usize = 3 * PAGE;
const ALL: usize = 5 * PAGE;

pub struct Arena(NonNull<c_void>);

/// Where a pointer of the argument leads.
#[derive(Clone, Copy, Debug)]
pub enum Spot {
    Null,
    /// One of the arrays.
    Array(usize),
    /// Right before the end of the mapping.
    Edge,
    /// Not on a boundary of its element.
    Odd,
    Unmapped,
    ReadOnly,
    /// Where user space has nothing.
    Kernel,
}

impl Arena {
    pub fn new() -> Result<Self> {
        let len = NonZeroUsize::new(ALL).ok_or(nix::errno::Errno::EINVAL)?;
        let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        let flags = MapFlags::MAP_PRIVATE | MapFlags::MAP_FIXED_NOREPLACE;
        // SAFETY: a new mapping, refused where there is one already; no memory of ours is touched.
        let base = unsafe { mmap_anonymous(NonZeroUsize::new(BASE), len, access, flags) }?;
        let arena = Self(base);
        for (page, access) in [(3, ProtFlags::PROT_NONE), (4, ProtFlags::PROT_READ)] {
            // SAFETY: a page of the mapping just made, to which no reference exists.
            unsafe { mprotect(base.byte_add(page * PAGE), PAGE, access) }?;
        }
        Ok(arena)
    }

    pub fn address(&self, spot: Spot) -> u64 {
        let at = |offset: usize| (self.0.as_ptr() as usize + offset) as u64;
        match spot {
            Spot::Null => 0,
            Spot::Array(number) => at(2 * PAGE + 4 * ROOM * (number % 4)),
            Spot::Edge => at(EDGE),
            Spot::Odd => at(2 * PAGE + 2049),
            Spot::Unmapped => at(3 * PAGE),
            Spot::ReadOnly => at(4 * PAGE),
            Spot::Kernel => 0xffff_ffff_8000_0000,
        }
    }

    /// Everything zero, then `bytes` at `offset`; what does not fit is left out.
    pub fn fill(&mut self, offset: usize, bytes: &[u8]) {
        let writable = self.writable();
        writable.fill(0);
        let end = (offset + bytes.len()).min(WRITABLE);
        writable[offset..end].copy_from_slice(&bytes[..end - offset]);
    }

    fn writable(&mut self) -> &mut [u8] {
        // SAFETY: the first three pages are mapped for reading and writing as long as self lives, and
        // this borrow is the only way to them while it lasts.
        unsafe { std::slice::from_raw_parts_mut(self.0.as_ptr().cast(), WRITABLE) }
    }

    pub fn u32(&mut self, offset: usize) -> u32 {
        let bytes = &self.writable()[offset..offset + 4];
        u32::from_ne_bytes(bytes.try_into().unwrap_or_default())
    }

    /// One of the arrays.
    pub fn array(&mut self, number: usize) -> Vec<u32> {
        let start = 2 * PAGE + 4 * ROOM * number;
        (0..ROOM).map(|n| self.u32(start + 4 * n)).collect()
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        // SAFETY: the mapping of `new`, to which no reference is left.
        let _it_was_mapped = unsafe { munmap(self.0, ALL) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_filled_in_can_be_read_back() {
        let mut arena = Arena::new().expect("memory");
        arena.fill(8, &7u32.to_ne_bytes());
        assert_eq!((arena.u32(8), arena.u32(12)), (7, 0));
        assert_eq!(arena.array(3), [0; ROOM]);
        arena.fill(WRITABLE - 2, &[1, 2, 3, 4]);
        assert_eq!(arena.u32(WRITABLE - 4), 0x0201_0000);
        assert_eq!(arena.u32(8), 0);
    }
}
