// SPDX-License-Identifier: GPL-2.0

//! Programs are attached to an array whose device nobody looks at: it may be past its `ndo_uninit`.
//!
//! expect: E0599 no method named `attach` found

use crate::{
    bpf::{attr::Place, prog::Prog},
    net::rtnl::Rtnl,
    netkit::Netkit, //
};
use kernel::prelude::*;

fn attach(nk: &Netkit, prog: &Prog, rtnl: &Rtnl) -> Result {
    nk.bundle.attach(prog, None, &Place::ANY, rtnl)
}
