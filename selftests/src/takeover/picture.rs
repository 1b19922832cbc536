// SPDX-License-Identifier: GPL-2.0
//! All that user space can read of the devices of a test: netlink dumps byte for byte, programs, links, sysfs, ethtool.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::Path;
use std::path::PathBuf;

use anyhow::bail;
use anyhow::Context;
use anyhow::Result;

use super::ethtool;
use crate::bpf::link::Link as BpfLink;
use crate::bpf::mprog;
use crate::bpf::PEER;
use crate::bpf::PRIMARY;
use crate::ctx::Ctx;
use crate::netkit;
use crate::netns::Ns;
use crate::nl::attr;
use crate::nl::link::ifinfomsg;
use crate::nl::link::Link;

/// IFLA_INET6_CACHEINFO, and the place of `reachable_time` in it.
const CACHEINFO: u16 = 5;
const REACHABLE_TIME: Range<usize> = 8..12;

/// What was read, by what it was read from.
#[derive(Clone, Debug, Default)]
pub struct Picture(BTreeMap<String, String>);

/// Where pictures are taken from.
pub struct Camera<'a> {
    spaces: Vec<(Ns, PathBuf)>,
    links: &'a [BpfLink],
}

impl<'a> Camera<'a> {
    /// All devices of the test's namespaces, and these links.
    pub fn new(t: &Ctx, links: &'a [BpfLink]) -> Result<Self> {
        let mut spaces = Vec::new();
        for (number, ns) in t.spaces().into_iter().enumerate() {
            let sysfs = ns.mount_sysfs(&number.to_string())?;
            spaces.push((ns, sysfs));
        }
        Ok(Self { spaces, links })
    }

    pub fn take(&self) -> Result<Picture> {
        let mut picture = Picture::default();
        for (number, (ns, sysfs)) in self.spaces.iter().enumerate() {
            picture.dump(number, ns)?;
            for device in netkit::devices(ns)? {
                let name = format!("namespace {number}, {}", device.name());
                picture.programs(&name, ns, &device)?;
                picture.queues(&name, ns, &device)?;
                picture.add(&name, "ethtool", ethtool::driver(ns, &device.name())?);
                picture.files(&name, &sysfs.join("class/net").join(device.name()))?;
            }
        }
        for link in self.links {
            let name = format!("link {}", link.id);
            picture.add(&name, "info", format!("{:?}", link.info()?));
            picture.add(&name, "fdinfo", link.fdinfo()?);
        }
        Ok(picture)
    }
}

impl Picture {
    fn add(&mut self, whose: &str, what: &str, text: String) {
        self.0.insert(format!("{whose}: {what}"), text);
    }

    /// RTM_GETLINK with counters and all, of all devices.
    fn dump(&mut self, number: usize, ns: &Ns) -> Result<()> {
        for message in ns.dump(libc::RTM_GETLINK, &ifinfomsg(0, 0, 0))? {
            let link = Link::parse(&message).context("a link")?;
            let name = format!("namespace {number}, {}", link.name());
            self.add(&name, "header", format!("{:02x?}", &message.payload[..16]));
            for (place, attr) in link.attrs.iter().enumerate() {
                let what = format!("attribute {} at {place}", attr.kind);
                if attr.kind == libc::IFLA_AF_SPEC {
                    self.families(&name, &what, &attr.payload);
                } else {
                    self.add(&name, &what, format!("{:02x?}", attr.payload));
                }
            }
        }
        Ok(())
    }

    /// IFLA_AF_SPEC, without the time for which IPv6 takes a neighbour for reachable (`struct ifla_cacheinfo`): the kernel
    /// draws it anew every five minutes (`neigh_periodic_work()`).
    fn families(&mut self, name: &str, what: &str, af_spec: &[u8]) {
        for family in attr::parse(af_spec) {
            for part in attr::parse(&family.payload) {
                let what = format!("{what}, family {}, {}", family.kind, part.kind);
                let mut payload = part.payload;
                if (i32::from(family.kind), part.kind) == (libc::AF_INET6, CACHEINFO) {
                    payload.drain(REACHABLE_TIME);
                }
                self.add(name, &what, format!("{payload:02x?}"));
            }
        }
    }

    fn programs(&mut self, name: &str, ns: &Ns, device: &Link) -> Result<()> {
        for hook in [PRIMARY, PEER] {
            let answer = ns.run(|| Ok(mprog::query_room(device.index, hook, 64)))?;
            self.add(name, &format!("programs of {hook}"), format!("{answer:?}"));
        }
        Ok(())
    }

    fn queues(&mut self, name: &str, ns: &Ns, device: &Link) -> Result<()> {
        let netdev = ns.netdev()?;
        let features = netdev.xdp_features(device.index);
        self.add(name, "XDP features", format!("{features:?}"));
        for queue in 0..3 {
            let shown = netdev.queue(device.index, queue);
            self.add(name, &format!("queue {queue}"), format!("{shown:?}"));
        }
        Ok(())
    }

    /// Every file of a device's folder in sysfs.
    fn files(&mut self, name: &str, folder: &Path) -> Result<()> {
        let mut folders = vec![folder.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
                let entry = entry?;
                let kind = entry.file_type()?;
                let path = entry.path();
                if kind.is_dir() {
                    folders.push(path);
                } else if kind.is_file() {
                    let text = fs::read_to_string(&path)
                        .unwrap_or_else(|error| format!("{:?}", error.raw_os_error()));
                    self.add(name, &path.display().to_string(), text);
                }
            }
        }
        Ok(())
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Fails with the first thing that is not the same in the other one.
    pub fn same_as(&self, other: &Self) -> Result<()> {
        for key in self.0.keys().chain(other.0.keys()) {
            let (one, two) = (self.0.get(key), other.0.get(key));
            if one != two {
                bail!("{key}: {one:?} became {two:?}");
            }
        }
        Ok(())
    }
}
