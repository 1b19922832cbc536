// SPDX-License-Identifier: GPL-2.0

//! The operations of a BPF link on a netkit device, and after the device is gone.

#![forbid(unsafe_code)]

use super::{
    uapi::AttachType,
    Netkit, //
};
use crate::{
    bpf::{
        link::{BpfLinkDriver, DeviceLink, LinkInfo},
        prog::Prog, //
    },
    errno::ENOLINK,
    net::rtnl::Rtnl, //
};
use kernel::{
    prelude::*,
    seq_file::SeqFile,
    seq_print, //
};

/// The index of the link's device, 0 if the link has no device.
fn ifindex(link: &DeviceLink) -> u32 {
    let rtnl = Rtnl::lock();
    link.device(&rtnl).map_or(0, |dev| dev.ifindex() as u32)
}

impl BpfLinkDriver for Netkit {
    /// `netkit_link_update()`. `ENOLINK` if the link has no device any more.
    fn update(link: &DeviceLink, new: &Prog, old: Option<&Prog>) -> Result {
        let rtnl = Rtnl::lock();
        let dev = link.device_of::<Self>(&rtnl).ok_or(ENOLINK)?;
        link.update(dev, new, old, &rtnl)
    }

    /// `netkit_link_fdinfo()`.
    fn show_fdinfo(link: &DeviceLink, seq: &SeqFile) {
        let which = match AttachType::from_number(link.attach_type()) {
            Some(AttachType::Primary) => "primary",
            _ => "peer",
        };
        seq_print!(seq, "ifindex:\t{}\n", ifindex(link));
        seq_print!(seq, "attach_type:\t{} ({})\n", link.attach_type(), which);
    }

    /// `netkit_link_fill_info()`.
    fn fill_info(link: &DeviceLink, info: &mut LinkInfo<'_>) {
        info.set_device(ifindex(link), link.attach_type());
    }
}
