// SPDX-License-Identifier: GPL-2.0

//! Netlink attributes: policies, parsed tables, and putting them into a message.
//!
//! C header: [`include/net/netlink.h`](srctree/include/net/netlink.h)

use super::extack::ExtAck;
use crate::{
    bindings,
    errno::to_result, //
};
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
/// The pointer is valid for `'a`, and so are the bytes of its payload.
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
        // SAFETY: By the type invariant the attribute is valid; `nla_data()` is the address after its header
        // (NLA_HDRLEN).
        let data = unsafe { bindings::netkit_rs_nla_data(self.as_ptr()) };
        // SAFETY: By the type invariant; the core does not accept a negative length.
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

    /// Of the attributes nested in this one, the last of the type `kind`, which is the one that `nla_parse()` takes.
    pub(crate) fn nested(&self, kind: u16) -> Option<Attr<'a>> {
        const HEADER: usize = size_of::<bindings::nlattr>();
        let mut rest = self.payload();
        let mut found = None;
        // As `nla_ok()` and `nla_next()`: the length includes the header; the next attribute begins at a multiple of 4.
        while let Some(&[a, b, c, d]) = rest.first_chunk::<HEADER>() {
            let len = usize::from(u16::from_ne_bytes([a, b]));
            if len < HEADER || len > rest.len() {
                break;
            }
            if u16::from_ne_bytes([c, d]) & bindings::NLA_TYPE_MASK as u16 == kind {
                // INVARIANT: The attribute lies within the payload of this one, which is valid for `'a`.
                found = Some(Attr(ptr::NonNull::from(rest).cast(), PhantomData));
            }
            rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
        }
        found
    }

    /// `nla_strscpy()` into a buffer of the size of a device name.
    pub(crate) fn ifname(&self) -> IfName {
        let mut name = IfName([0; IFNAMSIZ]);
        // SAFETY: The attribute is valid, and the buffer has `IFNAMSIZ` bytes; the result ends in NUL.
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

impl ExtAck {
    /// `NL_SET_ERR_MSG_ATTR()`: sets the text, and the attribute that caused the error.
    pub(crate) fn attr_error(&mut self, err: Error, attr: &Attr<'_>, text: &CStr) -> Error {
        // SAFETY: The pointer is null or valid by the type invariant; the attribute is part of the request, which
        // outlives the acknowledgement.
        unsafe { bindings::netkit_rs_nl_set_bad_attr(self.as_ptr(), attr.as_ptr()) };
        self.error(err, text)
    }
}

/// A family of attribute types. They are the index of a table, and the types in a message.
pub(crate) trait AttrType: Copy {
    /// The number of types, including 0, which is not used: the number of entries of a table.
    const COUNT: usize;

    /// The number of the type in a message (`nlattr::nla_type`).
    fn number(self) -> u32;
}

/// Attributes of a device of any type (`IFLA_*`).
#[derive(Clone, Copy)]
pub(crate) enum Ifla {
    /// The hardware address.
    Address = bindings::IFLA_ADDRESS as isize,
    /// The name.
    Ifname = bindings::IFLA_IFNAME as isize,
    /// The link type and its own attributes, nested.
    Linkinfo = bindings::IFLA_LINKINFO as isize,
}

impl AttrType for Ifla {
    const COUNT: usize = bindings::__IFLA_MAX as usize;

    fn number(self) -> u32 {
        self as u32
    }
}

/// A parsed table of the attributes of the family `A`, indexed by type (`struct nlattr *tb[]`).
///
/// # Invariants
///
/// The slice has `A::COUNT` pointers. Each is null or a valid attribute for `'a`.
pub(crate) struct Table<'a, A>(&'a [*mut bindings::nlattr], PhantomData<fn() -> A>);

impl<A> Clone for Table<'_, A> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<A> Copy for Table<'_, A> {}

impl<'a, A: AttrType> Table<'a, A> {
    /// # Safety
    ///
    /// `tb` must point at `A::COUNT` pointers, each null or a valid attribute for `'a`.
    pub(crate) unsafe fn from_raw(tb: *mut *mut bindings::nlattr) -> Self {
        // SAFETY: By the function's safety requirement.
        // INVARIANT: Likewise.
        Self(unsafe { slice::from_raw_parts(tb, A::COUNT) }, PhantomData)
    }

    pub(crate) fn as_ptr(&self) -> *mut *mut bindings::nlattr {
        self.0.as_ptr().cast_mut()
    }

    /// The attribute of this type, if the request has it.
    pub(crate) fn get(&self, attrtype: A) -> Option<Attr<'a>> {
        let attr = *self.0.get(attrtype.number() as usize)?;
        // INVARIANT: By the invariant of the table.
        ptr::NonNull::new(attr).map(|attr| Attr(attr, PhantomData))
    }

    pub(crate) fn has(&self, attrtype: A) -> bool {
        self.get(attrtype).is_some()
    }
}

impl<'a> Table<'a, Ifla> {
    /// An attribute of the link type's own (in `IFLA_INFO_DATA`) that its policy does not know, and that nobody has
    /// validated.
    pub(crate) fn info_data(&self, kind: u16) -> Option<Attr<'a>> {
        self.get(Ifla::Linkinfo)?
            .nested(bindings::IFLA_INFO_DATA as u16)?
            .nested(kind)
    }
}

/// A message of attributes is written by number, too: a type that no table has.
#[derive(Clone, Copy)]
pub(crate) struct OtherAttr(pub(crate) u16);

impl AttrType for OtherAttr {
    const COUNT: usize = 0;

    fn number(self) -> u32 {
        self.0.into()
    }
}

/// Memory for the attributes of a [`PeerInfo`], which is too large to be moved on the kernel's stack.
pub(crate) struct PeerTable([*mut bindings::nlattr; Ifla::COUNT]);

impl PeerTable {
    pub(crate) const fn new() -> Self {
        Self([ptr::null_mut(); Ifla::COUNT])
    }
}

/// The header and the attributes nested in a peer-info attribute (`rtnl_nla_parse_ifinfomsg()`).
pub(crate) struct PeerInfo<'a> {
    table: Table<'a, Ifla>,
    ifindex: i32,
}

impl<'a> PeerInfo<'a> {
    /// Parses `attr`. If it is too short for `struct ifinfomsg`, which a policy should refuse, it has no attributes.
    ///
    /// Ignores errors, as the C drivers do: rtnetlink has parsed the same attribute before it called the driver, and
    /// would have refused a malformed request.
    pub(crate) fn parse(attr: &Attr<'a>, memory: &'a mut PeerTable, extack: &mut ExtAck) -> Self {
        // The field `ifi_index` of `struct ifinfomsg`.
        const AT: usize = core::mem::offset_of!(bindings::ifinfomsg, ifi_index);
        let ifindex = attr.payload().get(AT..).and_then(<[u8]>::first_chunk);
        // Remove what was parsed from another attribute before.
        memory.0.fill(ptr::null_mut());
        if attr.payload().len() >= size_of::<bindings::ifinfomsg>() {
            // SAFETY: The table has IFLA_MAX + 1 entries. The attribute is valid, and not shorter than the header that
            // `rtnl_nla_parse_ifinfomsg()` skips.
            unsafe {
                bindings::rtnl_nla_parse_ifinfomsg(
                    memory.0.as_mut_ptr(),
                    attr.as_ptr(),
                    extack.as_ptr(),
                )
            };
        }
        Self {
            // INVARIANT: `rtnl_nla_parse_ifinfomsg()` filled the table with attributes nested in `attr`, or nulls.
            table: Table(&memory.0, PhantomData),
            ifindex: ifindex.map_or(0, |bytes| i32::from_ne_bytes(*bytes)),
        }
    }

    /// `ifi_index`: the index that the request wants, 0 for any.
    pub(crate) fn ifindex(&self) -> i32 {
        self.ifindex
    }

    pub(crate) fn table(&self) -> Table<'a, Ifla> {
        self.table
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
    /// `skb` must be a netlink message, and nobody else may use it while the value exists.
    pub(crate) unsafe fn from_raw(skb: *mut bindings::sk_buff) -> Self {
        // INVARIANT: By the function's safety requirement.
        Self(skb)
    }

    #[inline]
    fn put(&mut self, attrtype: impl AttrType, bytes: &[u8]) -> Result {
        // SAFETY: The message is valid, and `nla_put()` gets the length of `bytes`.
        to_result(unsafe {
            bindings::nla_put(
                self.0,
                attrtype.number() as c_int,
                bytes.len() as c_int,
                bytes.as_ptr().cast(),
            )
        })
    }

    /// `nla_put_u8()`. `EMSGSIZE` where the message has no room.
    #[inline]
    pub(crate) fn put_u8(&mut self, attrtype: impl AttrType, value: u8) -> Result {
        self.put(attrtype, &[value])
    }

    /// `nla_put_u16()`. `EMSGSIZE` where the message has no room.
    #[inline]
    pub(crate) fn put_u16(&mut self, attrtype: impl AttrType, value: u16) -> Result {
        self.put(attrtype, &value.to_ne_bytes())
    }

    /// `nla_put_u32()`. `EMSGSIZE` where the message has no room.
    #[inline]
    pub(crate) fn put_u32(&mut self, attrtype: impl AttrType, value: u32) -> Result {
        self.put(attrtype, &value.to_ne_bytes())
    }
}

/// `nla_total_size()`: the bytes that an attribute with this payload takes in a message.
pub(crate) fn total_size(payload: usize) -> usize {
    // SAFETY: `nla_total_size()` is arithmetic on its argument.
    let size = unsafe { bindings::netkit_rs_nla_total_size(payload as c_int) };
    size as usize
}
