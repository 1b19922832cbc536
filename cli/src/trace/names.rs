// SPDX-License-Identifier: GPL-2.0
//! Names for what the kernel counts: namespaces, drop reasons; the roles of devices, and their programs.

use std::collections::HashMap;
use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;
use std::time::Instant;

use btf_rs::Btf;
use btf_rs::Type;

use super::event::RawDevice;
use super::programs::Key;
use crate::device;
use crate::device::Device;
use crate::device::Role;
use crate::hook;
use crate::hook::Hooks;
use crate::namespace::Namespace;

const KERNEL_BTF: &str = "/sys/kernel/btf/vmlinux";
/// The devices are listed once in this time at most.
const PAUSE: Duration = Duration::from_secs(1);

#[derive(Default)]
pub struct Names {
    /// The devices whose packets are followed; all if there are none.
    only: Vec<Key>,
    /// By the number of the namespace; `None` for that of the command.
    namespaces: HashMap<u32, Option<String>>,
    roles: HashMap<(u32, u32), Role>,
    /// What [`Self::attached`] has not returned yet.
    attached: Option<Attached>,
    looked: Option<Instant>,
    /// `enum skb_drop_reason`, without the common beginning; read at the first drop.
    reasons: Option<HashMap<u32, String>>,
}

/// The netkit programs of the followed devices, by their numbers.
#[derive(Default)]
pub struct Attached {
    pub programs: HashSet<u32>,
    /// Whether these are all: a namespace may have ended while it was looked at.
    pub complete: bool,
}

impl Names {
    pub fn new(only: &[Key]) -> Self {
        Self {
            only: only.to_vec(),
            ..Self::default()
        }
    }

    pub fn namespace(&mut self, netns: u32) -> Option<String> {
        if !self.namespaces.contains_key(&netns) {
            self.look();
        }
        let known = self.namespaces.get(&netns);
        known.map_or_else(|| Some(format!("net:[{netns}]")), Option::clone)
    }

    pub fn role(&mut self, device: &RawDevice) -> Option<Role> {
        let key = (device.netns, device.ifindex);
        if !self.roles.contains_key(&key) {
            self.look();
        }
        self.roles.get(&key).copied()
    }

    /// The programs that are attached; `None` if nobody has looked since the last call.
    pub fn attached(&mut self) -> Option<Attached> {
        self.look();
        self.attached.take()
    }

    /// Looks which namespaces, devices and programs there are, unless that was done a moment ago. What fails is tried again
    /// later: a packet without a name is better than none. No namespace stays open: its end must not wait for the trace.
    fn look(&mut self) {
        if self.looked.is_some_and(|at| at.elapsed() < PAUSE) {
            return;
        }
        self.looked = Some(Instant::now());
        let Ok(namespaces) = Namespace::all() else {
            return;
        };
        let mut attached = Attached {
            complete: true,
            ..Attached::default()
        };
        for namespace in namespaces {
            let identity = &namespace.identity;
            let inode = identity.inode as u32;
            let name = (!identity.current).then(|| namespace.to_string());
            self.namespaces.insert(inode, name);
            if !self.only.is_empty() && self.only.iter().all(|key| key.netns != inode) {
                continue;
            }
            let found = namespace.enter(|| {
                let devices = device::this_namespace()?;
                let followed = devices.iter().filter(|device| self.follows(inode, device));
                let programs = followed.flat_map(|device| programs_of(device.index));
                Ok((programs.collect::<Vec<_>>(), devices))
            });
            let Ok((programs, devices)) = found else {
                attached.complete = false;
                continue;
            };
            attached.programs.extend(programs);
            for device in devices {
                if let Some(netkit) = device.netkit {
                    self.roles.insert((inode, device.index), netkit.role);
                }
            }
        }
        self.attached = Some(attached);
    }

    fn follows(&self, netns: u32, device: &Device) -> bool {
        let ifindex = device.index;
        self.only.is_empty() || self.only.contains(&Key { netns, ifindex })
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
            looked: Some(Instant::now()),
            ..Self::default()
        }
    }
}

/// The numbers of the programs that are managed through this device of the calling thread's namespace.
fn programs_of(ifindex: u32) -> Vec<u32> {
    let hooks = Hooks::query(ifindex, &hook::Names::default());
    // A peer refuses: its programs are those of the primary.
    let hooks = hooks.map(|hooks| [hooks.primary, hooks.peer]);
    let programs = hooks.into_iter().flatten().flat_map(|hook| hook.programs);
    programs.map(|attached| attached.program.id).collect()
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
