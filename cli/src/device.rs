// SPDX-License-Identifier: GPL-2.0
//! Network devices as rtnetlink describes them, in particular netkit devices.

use anyhow::Context;
use anyhow::Result;
use serde::Serialize;

use crate::namespace::Namespace;
use crate::netlink;
use crate::netlink::attribute;
use crate::netlink::number;
use crate::netlink::text;

/// `struct ifinfomsg`, which has the index at offset 4.
const IFINFOMSG: usize = 16;

/// `IFLA_NETKIT_…`.
const PRIMARY: u16 = 2;
const POLICY: u16 = 3;
const PEER_POLICY: u16 = 4;
const MODE: u16 = 5;
const PAIRING: u16 = 10;
const DEV_SWITCH: u16 = 11;

/// The role of a device in its pair.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The device through which the programs of both sides are managed.
    Primary,
    Peer,
}

/// The attributes of a netkit device.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Netkit {
    pub role: Role,
    /// `pair`, or `single` for a device without a peer.
    pub pairing: String,
    /// `l2` or `l3`.
    pub mode: String,
    /// What happens to a packet if no program decides: `forward` or `blackhole`.
    pub policy: String,
    /// The policy of the other side.
    pub peer_policy: Option<String>,
    /// When a packet of the primary becomes one of the peer, for the programs of the primary: `before` they run, or `after`.
    pub dev_switch: String,
}

/// The device at the other end.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub struct Other {
    pub ifindex: u32,
    /// The number (netnsid) of the namespace of that device; `None` for the current namespace.
    pub netnsid: Option<i32>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Device {
    pub index: u32,
    pub name: String,
    /// `None` for a device that is not a netkit device.
    pub netkit: Option<Netkit>,
    pub other: Option<Other>,
}

/// The netkit devices of this network namespace.
pub fn this_namespace() -> Result<Vec<Device>> {
    let mut devices = everything()?;
    devices.retain(|device| device.netkit.is_some());
    Ok(devices)
}

/// The devices of this network namespace, netkit's and others.
pub fn everything() -> Result<Vec<Device>> {
    let mut devices = Vec::new();
    netlink::dump(libc::RTM_GETLINK, &[0; IFINFOMSG], |message| {
        devices.extend(parse(message));
    })
    .context("cannot list the network devices")?;
    Ok(devices)
}

/// The netkit devices of all network namespaces, with their namespaces.
pub fn all_namespaces() -> Result<Vec<(Namespace, Vec<Device>)>> {
    let mut found = Vec::new();
    for namespace in Namespace::all()? {
        let devices = namespace
            .enter(this_namespace)
            .with_context(|| format!("network namespace {namespace}"))?;
        if !devices.is_empty() {
            found.push((namespace, devices));
        }
    }
    Ok(found)
}

/// The device that a message of type RTM_NEWLINK describes.
fn parse(message: &[u8]) -> Option<Device> {
    let index = number(message.get(4..8)?)?;
    let attributes = message.get(IFINFOMSG..)?;
    let find = |kind| attribute(attributes, kind).and_then(|value| number(&value));
    let netnsid = find(libc::IFLA_LINK_NETNSID).map(|id| id as i32);
    // A single netkit device has no other end; devices of other types name themselves.
    let other = find(libc::IFLA_LINK).filter(|other| *other != 0);
    Some(Device {
        index,
        name: text(&attribute(attributes, libc::IFLA_IFNAME)?),
        netkit: attribute(attributes, libc::IFLA_LINKINFO).and_then(|info| netkit(&info)),
        other: other.map(|ifindex| Other { ifindex, netnsid }),
    })
}

fn netkit(info: &[u8]) -> Option<Netkit> {
    if text(&attribute(info, libc::IFLA_INFO_KIND)?) != "netkit" {
        return None;
    }
    let data = attribute(info, libc::IFLA_INFO_DATA)?;
    let find = |kind| attribute(&data, kind).and_then(|value| number(&value));
    Some(Netkit {
        role: match attribute(&data, PRIMARY)?.first() {
            Some(0) => Role::Peer,
            _ => Role::Primary,
        },
        pairing: named(find(PAIRING).unwrap_or(0), &[(0, "pair"), (1, "single")]),
        mode: named(find(MODE)?, &[(0, "l2"), (1, "l3")]),
        policy: policy(find(POLICY)?),
        peer_policy: find(PEER_POLICY).map(policy),
        // The default is not in the message.
        dev_switch: named(
            find(DEV_SWITCH).unwrap_or(0),
            &[(0, "before"), (1, "after")],
        ),
    })
}

fn policy(value: u32) -> String {
    named(value, &[(0, "forward"), (2, "blackhole")])
}

/// The name of a value, or its number if the name is not known.
fn named(value: u32, names: &[(u32, &str)]) -> String {
    let name = names.iter().find(|(known, _)| *known == value);
    name.map_or_else(|| value.to_string(), |(_, name)| (*name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::attr;

    fn message(kind: &[u8], primary: u8) -> Vec<u8> {
        let mut message = vec![0; IFINFOMSG];
        message[4..8].copy_from_slice(&7u32.to_ne_bytes());
        message.extend(attr(libc::IFLA_IFNAME, b"nk0\0"));
        message.extend(attr(libc::IFLA_LINK, &8u32.to_ne_bytes()));
        message.extend(attr(libc::IFLA_LINK_NETNSID, &3u32.to_ne_bytes()));
        let data = [
            attr(PRIMARY, &[primary]),
            attr(POLICY, &2u32.to_ne_bytes()),
            attr(MODE, &1u32.to_ne_bytes()),
            attr(PEER_POLICY, &9u32.to_ne_bytes()),
            attr(DEV_SWITCH, &u32::from(primary).to_ne_bytes()),
        ]
        .concat();
        let info = [
            attr(libc::IFLA_INFO_KIND, kind),
            attr(libc::IFLA_INFO_DATA, &data),
        ]
        .concat();
        message.extend(attr(libc::IFLA_LINKINFO, &info));
        message
    }

    #[test]
    fn a_pair() {
        let device = parse(&message(b"netkit\0", 1)).expect("a device");
        assert_eq!((device.index, device.name.as_str()), (7, "nk0"));
        let other = device.other.expect("a peer");
        assert_eq!((other.ifindex, other.netnsid), (8, Some(3)));
        let netkit = device.netkit.expect("netkit's");
        assert_eq!(netkit.role, Role::Primary);
        assert_eq!(
            (netkit.mode.as_str(), netkit.pairing.as_str()),
            ("l3", "pair")
        );
        assert_eq!(netkit.policy, "blackhole");
        assert_eq!(netkit.peer_policy.as_deref(), Some("9"));
        assert_eq!(netkit.dev_switch, "after");
        let device = parse(&message(b"netkit\0", 0)).expect("a device");
        let netkit = device.netkit.expect("netkit's");
        assert_eq!(
            (netkit.role, netkit.dev_switch.as_str()),
            (Role::Peer, "before")
        );
    }

    #[test]
    fn others() {
        let device = parse(&message(b"veth\0", 1)).expect("a device");
        assert_eq!(device.netkit, None);
        assert_eq!(parse(&[0; 10]), None);
    }
}
