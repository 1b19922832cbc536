// SPDX-License-Identifier: GPL-2.0

//! A driver says which attribute the peer's header is in, out of range: the link type stays the built-in driver's.
//!
//! expect: E0576 associated constant `PEER_TYPE` in trait `RtnlLinkDriver`

use crate::{net::rtnl_link::RtnlLinkDriver, netkit::Netkit};

const PEER_TYPE: u16 = <Netkit as RtnlLinkDriver>::PEER_TYPE;
