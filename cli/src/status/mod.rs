// SPDX-License-Identifier: GPL-2.0
//! The status: the driver, the module, the devices, their programs. The keys in JSON are the fields of these structs. The
//! manual page documents them, and their meaning does not change.

mod text;

use anyhow::Result;
use serde::Serialize;

use crate::device;
use crate::device::Device;
use crate::device::Netkit;
use crate::device::Other;
use crate::device::Role;
use crate::failure::Kind;
use crate::hook::Hooks;
use crate::hook::Names;
use crate::module;
use crate::module::Driver;
use crate::module::Takeover;
use crate::module::Task;
use crate::namespace::Identity;
use crate::namespace::Namespace;

#[derive(Clone, Debug, Serialize)]
pub struct Status {
    pub driver: Driver,
    /// The module, if it is in the kernel.
    pub module: Option<module::Loaded>,
    /// Whether the module has taken over all devices. `None` if it is not in the kernel.
    pub takeover: Option<Takeover>,
    pub devices_by_driver: ByDriver,
    /// The tasks that delay a transition that has begun.
    pub waiting_for: Vec<Task>,
    pub devices: Vec<Entry>,
}

/// The number of devices that each driver serves, in all network namespaces.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub struct ByDriver {
    /// The module's own count. `None` for an old build, which does not count.
    pub rust: Option<usize>,
    /// The other devices. `None` if they cannot be counted: only root can look into all namespaces.
    pub c: Option<usize>,
}

impl ByDriver {
    /// The module counts its devices at another moment than this command counts all devices. Devices may come and go in
    /// between.
    fn of(rust: Option<usize>, total: Option<usize>) -> Self {
        let c = rust
            .zip(total)
            .map(|(rust, total)| total.saturating_sub(rust));
        Self { rust, c }
    }
}

/// A netkit device.
#[derive(Clone, Debug, Serialize)]
pub struct Entry {
    pub namespace: Identity,
    pub ifindex: u32,
    pub name: String,
    #[serde(flatten)]
    pub netkit: Netkit,
    /// The device at the other end.
    pub peer: Option<Other>,
    /// The programs, for the primary of a pair. `None` for other devices, and for a user without the right to query them.
    pub programs: Option<Hooks>,
}

/// Which devices.
pub enum Scope {
    This,
    Named(String),
    All,
}

/// The status of all devices of the scope, or of one device.
pub fn status(scope: &Scope, dev: Option<&str>) -> Result<Status> {
    let driver = module::driver()?;
    let found = match scope {
        Scope::All => device::all_namespaces()?,
        Scope::Named(name) => one(Namespace::by_name(name)?)?,
        Scope::This => one(Namespace::current()?)?,
    };
    let by_driver = by_driver(scope, &found)?;
    let wanted = |device: &Device| dev.is_none_or(|name| device.name == name);
    let names = match may_ask() && found.iter().any(|(_, devices)| !devices.is_empty()) {
        true => Names::find(),
        false => Names::default(),
    };
    let mut devices = Vec::new();
    for (namespace, all) in &found {
        devices.extend(namespace.enter(|| entries(namespace, all, wanted, &names))?);
    }
    if let (Some(name), []) = (dev, devices.as_slice()) {
        return Err(Kind::Absent.error(format!(
            "there is no netkit device {name} {}",
            match scope {
                Scope::All => "in any network namespace",
                _ => "in this network namespace (--all looks into all)",
            }
        )));
    }
    Ok(Status {
        driver,
        module: module::loaded()?,
        takeover: Takeover::now()?,
        devices_by_driver: by_driver,
        waiting_for: match driver {
            Driver::Loading => module::tasks_in("0"),
            Driver::Unloading => module::tasks_in("1"),
            _ => Vec::new(),
        },
        devices,
    })
}

/// `found` are the devices of the scope; if the scope is everything, they are not searched again.
fn by_driver(scope: &Scope, found: &[(Namespace, Vec<Device>)]) -> Result<ByDriver> {
    let count = |found: &[(Namespace, Vec<Device>)]| -> usize {
        found.iter().map(|(_, devices)| devices.len()).sum()
    };
    let total = match scope {
        Scope::All => Some(count(found)),
        // Without root there is no access to other namespaces, but the rest of the status works.
        _ => device::all_namespaces().ok().map(|all| count(&all)),
    };
    let rust = match module::is_present() {
        true => module::devices()?,
        false => Some(0),
    };
    Ok(ByDriver::of(rust, total))
}

fn one(namespace: Namespace) -> Result<Vec<(Namespace, Vec<Device>)>> {
    let devices = namespace.enter(device::this_namespace)?;
    Ok(vec![(namespace, devices)])
}

/// Only root may see the numbers of programs.
fn may_ask() -> bool {
    nix::unistd::geteuid().is_root()
}

/// The entries of the calling thread's namespace.
fn entries(
    namespace: &Namespace,
    devices: &[Device],
    wanted: impl Fn(&Device) -> bool,
    names: &Names,
) -> Result<Vec<Entry>> {
    let devices = devices.iter().filter(|device| wanted(device));
    let entries = devices.filter_map(|device| {
        let netkit = device.netkit.clone()?;
        let pair = netkit.role == Role::Primary && netkit.pairing == "pair";
        Some(Entry {
            namespace: namespace.identity.clone(),
            ifindex: device.index,
            name: device.name.clone(),
            peer: device.other,
            // The device, or its driver, was removed in the meantime: it has no programs.
            programs: (pair && may_ask())
                .then(|| Hooks::query(device.index, names).ok())
                .flatten(),
            netkit,
        })
    });
    Ok(entries.collect())
}

#[cfg(test)]
mod tests {
    use super::ByDriver;

    #[test]
    fn rest_is_the_built_in_drivers() {
        let of = |rust, total| ByDriver::of(rust, total).c;
        assert_eq!(of(Some(2), Some(6)), Some(4));
        assert_eq!(of(Some(0), Some(6)), Some(6));
        // A device came between the two counts.
        assert_eq!(of(Some(7), Some(6)), Some(0));
        assert_eq!(of(Some(7), None), None);
        assert_eq!(of(None, Some(6)), None);
    }
}
