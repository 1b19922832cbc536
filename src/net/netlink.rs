// SPDX-License-Identifier: GPL-2.0

//! Netlink attributes: policies, parsed tables, and putting them into a message.
//!
//! C header: [`include/net/netlink.h`](srctree/include/net/netlink.h)

use super::{
    extack::ExtAck,
    to_result, //
};
use crate::bindings;
use core::{
    ffi::c_int,
    marker::PhantomData,
    ptr,
    slice, //
};
use kernel::prelude::*;

/// One attribute of a request that the core has validated.
///
/// # Invariants
///
/// The pointer is valid for `'a`, and so are the bytes that its length says.
#[derive(Clone, Copy)]
pub(crate) struct Attr<'a>(ptr::NonNull<bindings::nlattr>, PhantomData<&'a [u8]>);

impl<'a> Attr<'a> {
    pub(crate) fn as_ptr(&self) -> *const bindings::nlattr {
        self.0.as_ptr()
    }

    /// The payload (`nla_data()`, `nla_len()`).
    pub(crate) fn payload(&self) -> &'a [u8] {
        // SAFETY: By the type invariant the attribute is valid; `nla_len()` reads its header.
        let len = unsafe { bindings::netkit_rs_nla_len(self.as_ptr()) };
        // SAFETY: By the type invariant the attribute is valid; `nla_data()` is the address behind its header
        // (NLA_HDRLEN).
        let data = unsafe { bindings::netkit_rs_nla_data(self.as_ptr()) };
        // SAFETY: By the type invariant; the core accepts no negative length.
        unsafe { slice::from_raw_parts(data.cast(), usize::try_from(len).unwrap_or(0)) }
    }

    /// `nla_get_u16()`. An attribute that is too short, which its policy excludes, reads as zero.
    pub(crate) fn u16(&self) -> u16 {
        self.payload()
            .first_chunk()
            .map_or(0, |bytes| u16::from_ne_bytes(*bytes))
    }

    /// `nla_get_u32()`. An attribute that is too short, which its policy excludes, reads as zero.
    pub(crate) fn u32(&self) -> u32 {
        self.payload()
            .first_chunk()
            .map_or(0, |bytes| u32::from_ne_bytes(*bytes))
    }

    /// `nla_strscpy()` into a buffer of the size of a device name.
    pub(crate) fn ifname(&self) -> IfName {
        let mut name = IfName([0; IFNAMSIZ]);
        // SAFETY: The attribute is valid, and the buffer as long as it says; the result ends in NUL.
        unsafe {
            bindings::netkit_rs_nla_strscpy(name.0.as_mut_ptr().cast(), self.as_ptr(), IFNAMSIZ)
        };
        name
    }
}

pub(crate) const IFNAMSIZ: usize = bindings::IFNAMSIZ as usize;

/// The name of a device, or a pattern with one `%d`.
///
/// # Invariants
///
/// Ends in NUL.
#[derive(Clone, Copy)]
pub(crate) struct IfName([u8; IFNAMSIZ]);

impl IfName {
    /// `text` must be shorter than `IFNAMSIZ`: a longer one does not compile in a constant.
    pub(crate) const fn from_static(text: &'static CStr) -> Self {
        let bytes = text.to_bytes();
        assert!(bytes.len() < IFNAMSIZ);
        let mut name = [0; IFNAMSIZ];
        let mut i = 0;
        while i < bytes.len() {
            name[i] = bytes[i];
            i += 1;
        }
        // INVARIANT: The last byte was not written, as the text is shorter.
        Self(name)
    }

    pub(crate) fn as_ptr(&self) -> *const kernel::ffi::c_char {
        self.0.as_ptr().cast()
    }
}

/// A parsed table of attributes, indexed by type (`struct nlattr *tb[]`).
///
/// # Invariants
///
/// Each pointer is null or a valid attribute for `'a`.
#[derive(Clone, Copy)]
pub(crate) struct Table<'a>(&'a [*mut bindings::nlattr]);

impl<'a> Table<'a> {
    /// # Safety
    ///
    /// `tb` must point at `len` pointers, each null or a valid attribute for `'a`.
    pub(crate) unsafe fn from_raw(tb: *mut *mut bindings::nlattr, len: usize) -> Self {
        // SAFETY: By the function's safety requirement.
        // INVARIANT: Likewise.
        Self(unsafe { slice::from_raw_parts(tb, len) })
    }

    pub(crate) fn as_ptr(&self) -> *mut *mut bindings::nlattr {
        self.0.as_ptr().cast_mut()
    }

    /// The attribute of this type, if the request has it.
    pub(crate) fn get(&self, attrtype: u32) -> Option<Attr<'a>> {
        let attr = *self.0.get(attrtype as usize)?;
        // INVARIANT: By the invariant of the table.
        ptr::NonNull::new(attr).map(|attr| Attr(attr, PhantomData))
    }

    pub(crate) fn has(&self, attrtype: u32) -> bool {
        self.get(attrtype).is_some()
    }
}

/// Number of `IFLA_*` attribute types.
pub(crate) const IFLA_COUNT: usize = bindings::__IFLA_MAX as usize;

/// The header and the attributes nested in a peer-info attribute (`rtnl_nla_parse_ifinfomsg()`).
pub(crate) struct PeerInfo<'a> {
    tb: [*mut bindings::nlattr; IFLA_COUNT],
    ifindex: i32,
    _attr: PhantomData<Attr<'a>>,
}

impl<'a> PeerInfo<'a> {
    /// Parses `attr`. One that is too short for `struct ifinfomsg`, which a policy should refuse, has no attributes.
    ///
    /// As the C drivers do, takes no notice of an error: rtnetlink parsed the same attribute before it called
    /// the driver, and refused the request if it was malformed.
    pub(crate) fn parse(attr: &Attr<'a>, extack: &mut ExtAck) -> Self {
        let mut tb = [ptr::null_mut(); IFLA_COUNT];
        // The field `ifi_index` of `struct ifinfomsg`.
        const AT: usize = core::mem::offset_of!(bindings::ifinfomsg, ifi_index);
        let ifindex = attr.payload().get(AT..).and_then(<[u8]>::first_chunk);
        if attr.payload().len() >= size_of::<bindings::ifinfomsg>() {
            // SAFETY: The table has IFLA_MAX + 1 entries; the attribute is valid, and as long as the header that
            // `rtnl_nla_parse_ifinfomsg()` skips.
            unsafe {
                bindings::rtnl_nla_parse_ifinfomsg(tb.as_mut_ptr(), attr.as_ptr(), extack.as_ptr())
            };
        }
        Self {
            tb,
            ifindex: ifindex.map_or(0, |bytes| i32::from_ne_bytes(*bytes)),
            _attr: PhantomData,
        }
    }

    /// `ifi_index`: the index that the request asks for, 0 for any.
    pub(crate) fn ifindex(&self) -> i32 {
        self.ifindex
    }

    pub(crate) fn table(&self) -> Table<'_> {
        // INVARIANT: `rtnl_nla_parse_ifinfomsg()` filled the table with attributes nested in `attr`, or nulls.
        Table(&self.tb)
    }
}

/// The message that a dump is written to (`struct sk_buff *`).
///
/// # Invariants
///
/// The pointer is a valid netlink message, exclusive while the value exists.
pub(crate) struct Message(*mut bindings::sk_buff);

impl Message {
    /// # Safety
    ///
    /// `skb` must be a netlink message, used by nobody else while the value exists.
    pub(crate) unsafe fn from_raw(skb: *mut bindings::sk_buff) -> Self {
        // INVARIANT: By the function's safety requirement.
        Self(skb)
    }

    #[inline]
    fn put(&mut self, attrtype: u32, bytes: &[u8]) -> Result {
        // SAFETY: The message is valid, and `bytes` as long as it says.
        to_result(unsafe {
            bindings::nla_put(
                self.0,
                attrtype as c_int,
                bytes.len() as c_int,
                bytes.as_ptr().cast(),
            )
        })
    }

    /// `nla_put_u8()`. `EMSGSIZE` where the message has no room.
    #[inline]
    pub(crate) fn put_u8(&mut self, attrtype: u32, value: u8) -> Result {
        self.put(attrtype, &[value])
    }

    /// `nla_put_u16()`. `EMSGSIZE` where the message has no room.
    #[inline]
    pub(crate) fn put_u16(&mut self, attrtype: u32, value: u16) -> Result {
        self.put(attrtype, &value.to_ne_bytes())
    }

    /// `nla_put_u32()`. `EMSGSIZE` where the message has no room.
    #[inline]
    pub(crate) fn put_u32(&mut self, attrtype: u32, value: u32) -> Result {
        self.put(attrtype, &value.to_ne_bytes())
    }
}

/// `nla_total_size()`: the bytes that an attribute with this payload takes in a message.
pub(crate) fn total_size(payload: usize) -> usize {
    // SAFETY: `nla_total_size()` is arithmetic on its argument.
    let size = unsafe { bindings::netkit_rs_nla_total_size(payload as c_int) };
    size as usize
}
