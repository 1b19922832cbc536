// SPDX-License-Identifier: GPL-2.0
//! Finds the primary device that a user has named, or explains why the name is not that of a primary.

use std::os::fd::AsFd;
use std::os::fd::AsRawFd;

use anyhow::Error;
use anyhow::Result;

use crate::device;
use crate::device::Device;
use crate::device::Netkit;
use crate::device::Other;
use crate::device::Role;
use crate::failure::Kind;
use crate::module;
use crate::module::Driver;
use crate::namespace::Namespace;
use crate::netlink;
use crate::netlink::attr;
use crate::netlink::attribute;
use crate::netlink::number;

/// RTM_GETNSID and its attributes.
const GETNSID: u16 = 90;
const RTGENMSG: usize = 4;
const NSID: u16 = 1;
const FD: u16 = 3;

/// The primary device of this name in the calling thread's network namespace.
pub fn primary(name: &str) -> Result<Device> {
    let devices = device::everything()?;
    let Some(device) = devices.iter().find(|device| device.name == name) else {
        return Err(no_device(name));
    };
    match &device.netkit {
        None => Err(Kind::Conflict.error(format!(
            "{name} is not a netkit device: `ip link add NAME type netkit` makes one"
        ))),
        Some(Netkit {
            role: Role::Primary,
            ..
        }) => Ok(device.clone()),
        Some(_) => Err(is_peer(name, device.other, &devices)),
    }
}

fn no_device(name: &str) -> Error {
    if matches!(module::driver(), Ok(Driver::None)) {
        return Kind::Absent.error(format!(
            "there is no device {name}: this kernel has no netkit, and the module is not loaded"
        ));
    }
    // This is only a hint, so namespaces that cannot be read are left out.
    let elsewhere = device::all_namespaces().unwrap_or_default();
    let elsewhere: Vec<String> = elsewhere
        .iter()
        .filter(|(_, devices)| devices.iter().any(|device| device.name == name))
        .map(|(namespace, _)| namespace.to_string())
        .collect();
    let hint = match elsewhere.as_slice() {
        [] => "`netkit-rs status --all` lists those of all namespaces".to_owned(),
        [one] => format!("there is one in {one} (--netns {one})"),
        several => format!(
            "there are some in {}: choose by --netns",
            several.join(", ")
        ),
    };
    Kind::Absent.error(format!(
        "there is no device {name} in this network namespace; {hint}"
    ))
}

fn is_peer(name: &str, other: Option<Other>, here: &[Device]) -> Error {
    let by_index = |devices: &[Device], index| {
        let device = devices.iter().find(|device| device.index == index);
        device.map(|device| device.name.clone())
    };
    let hint = match other {
        Some(Other {
            ifindex,
            netnsid: None,
        }) => match by_index(here, ifindex) {
            Some(primary) => format!("use `--dev {primary} --peer` to attach to {name}"),
            None => "which is not in this network namespace".to_owned(),
        },
        Some(Other {
            ifindex,
            netnsid: Some(id),
        }) => match with_number(id) {
            Some(namespace) => {
                let primary = namespace.enter(|| Ok(by_index(&device::everything()?, ifindex)));
                let primary = primary.ok().flatten();
                format!(
                    "that is {} in the network namespace {namespace}: use `--netns {namespace} --dev {} --peer` there",
                    primary.as_deref().unwrap_or("a device"),
                    primary.as_deref().unwrap_or("NAME"),
                )
            }
            None => {
                "that is in another network namespace, which cannot be seen from here".to_owned()
            }
        },
        None => "which has gone".to_owned(),
    };
    Kind::Conflict.error(format!(
        "{name} is the peer of its pair, and programs are managed by the primary: {hint}"
    ))
}

/// The namespace with this number (netnsid) in the current namespace.
pub(crate) fn with_number(id: i32) -> Option<Namespace> {
    let all = Namespace::all().unwrap_or_default();
    all.into_iter()
        .find(|namespace| number_of(namespace) == Some(id))
}

fn number_of(namespace: &Namespace) -> Option<i32> {
    let fd = namespace.as_fd().as_raw_fd();
    let mut body = vec![0; RTGENMSG];
    body.extend(attr(FD, &fd.to_ne_bytes()));
    let answer = netlink::get(GETNSID, &body).ok()?;
    let id = attribute(answer.get(RTGENMSG..)?, NSID)?;
    number(&id).map(|id| id as i32)
}
