// SPDX-License-Identifier: GPL-2.0

//! A guard unregisters another link type than was registered: link types are not registered at all.
//!
//! expect: E0432 no `Registration` in `net::rtnl_link`

use crate::net::rtnl_link::Registration;
