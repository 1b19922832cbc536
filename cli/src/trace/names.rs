// SPDX-License-Identifier: GPL-2.0
//! Names for what the kernel counts: namespaces, drop reasons; and the roles of devices.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;
use std::time::Instant;

use btf_rs::Btf;
use btf_rs::Type;

use super::event::RawDevice;
use crate::device;
use crate::device::Role;

const KERNEL_BTF: &str = "/sys/kernel/btf/vmlinux";
/// How often the devices are listed anew because an unknown one has sent a packet.
const PAUSE: Duration = Duration::from_secs(1);

#[derive(Default)]
pub struct Names {
    /// By the number of the namespace; `None` for that of the command.
    namespaces: HashMap<u32, Option<String>>,
    roles: HashMap<(u32, u32), Role>,
    listed: Option<Instant>,
    /// `enum skb_drop_reason`, without the common beginning; read at the first drop.
    reasons: Option<HashMap<u32, String>>,
}

impl Names {
    pub fn namespace(&mut self, netns: u32) -> Option<String> {
        if !self.namespaces.contains_key(&netns) {
            self.list();
        }
        let known = self.namespaces.get(&netns);
        known.map_or_else(|| Some(format!("net:[{netns}]")), Option::clone)
    }

    pub fn role(&mut self, device: &RawDevice) -> Option<Role> {
        let key = (device.netns, device.ifindex);
        if !self.roles.contains_key(&key) {
            self.list();
        }
        self.roles.get(&key).copied()
    }

    /// Lists the devices of all namespaces, unless that was done a moment ago. What fails is tried again later: a packet
    /// without a name is better than none.
    fn list(&mut self) {
        if self.listed.is_some_and(|at| at.elapsed() < PAUSE) {
            return;
        }
        self.listed = Some(Instant::now());
        for (namespace, devices) in device::all_namespaces().unwrap_or_default() {
            let identity = &namespace.identity;
            let inode = identity.inode as u32;
            let name = (!identity.current).then(|| namespace.to_string());
            self.namespaces.insert(inode, name);
            for device in devices {
                if let Some(netkit) = device.netkit {
                    self.roles.insert((inode, device.index), netkit.role);
                }
            }
        }
    }

    pub fn reason(&mut self, number: u32) -> String {
        let reasons = self
            .reasons
            .get_or_insert_with(|| reasons(Path::new(KERNEL_BTF)).unwrap_or_default());
        let name = reasons.get(&number);
        name.map_or_else(|| number.to_string(), String::clone)
    }

    #[cfg(test)]
    pub fn for_test(namespaces: &[(u32, &str)], reasons: &[(u32, &str)]) -> Self {
        let own = |(number, name): &(u32, &str)| (*number, (*name).to_owned());
        let namespaces = namespaces.iter().map(own);
        Self {
            namespaces: namespaces
                .map(|(number, name)| (number, Some(name)))
                .collect(),
            reasons: Some(reasons.iter().map(own).collect()),
            listed: Some(Instant::now()),
            ..Self::default()
        }
    }
}

/// The names of `enum skb_drop_reason` in the kernel's BTF, by number.
fn reasons(path: &Path) -> Option<HashMap<u32, String>> {
    let btf = Btf::from_file(path).ok()?;
    let types = btf.resolve_types_by_name("skb_drop_reason").ok()?;
    let reasons = types.into_iter().find_map(|found| match found {
        Type::Enum(reasons) => Some(reasons),
        _ => None,
    })?;
    let names = reasons.members.iter().filter_map(|member| {
        let name = btf.resolve_name(member).ok()?;
        let short = name.strip_prefix("SKB_DROP_REASON_").unwrap_or(&name);
        Some((member.val(), short.to_owned()))
    });
    Some(names.collect())
}
