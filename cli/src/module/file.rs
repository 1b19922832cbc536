// SPDX-License-Identifier: GPL-2.0
//! The module's file: where it is, and the kernel that it was built for.

use std::env;
use std::fs;
use std::path::Path;
use std::path::PathBuf;

use anyhow::anyhow;
use anyhow::Context;
use anyhow::Result;
use object::read::elf::ElfFile64;
use object::Object;
use object::ObjectSection;

use super::compressed::is_named;
use super::compressed::ModuleFile;
use crate::failure::Kind;

const NAME: &str = "netkit_rs.ko";

/// The release of the running kernel (`uname -r`).
pub fn running_release() -> Result<String> {
    let uname = nix::sys::utsname::uname().context("uname")?;
    Ok(uname.release().to_string_lossy().into_owned())
}

/// The module that was built together with this command (target/module next to target/release). If there is none, the module
/// that is installed for the running kernel.
pub fn default_path() -> Result<PathBuf> {
    let exe = env::current_exe().context("cannot tell where this command lies")?;
    let built = exe
        .parent()
        .and_then(Path::parent)
        .map(|target| target.join("module").join(NAME));
    if let Some(built) = built.filter(|path| path.is_file()) {
        return Ok(built);
    }
    let release = running_release()?;
    let installed = PathBuf::from(format!("/lib/modules/{release}"));
    listed(&installed)
        .or_else(|| find(&installed))
        .ok_or_else(|| {
            Kind::Absent.error(format!(
                "there is no {NAME} for the running kernel, neither next to this command nor under {}: install the package \
                 netkit-rs-modules-{release} or netkit-rs-dkms, or build it with `make` in the checkout, or name a file \
                 (netkit-rs load FILE)",
                installed.display()
            ))
        })
}

/// The file that modprobe would load. If there are several, depmod has listed the preferred one.
fn listed(folder: &Path) -> Option<PathBuf> {
    let list = fs::read_to_string(folder.join("modules.dep")).ok()?;
    let path = folder.join(listed_in(&list)?);
    path.is_file().then_some(path)
}

/// Lines of modules.dep are "updates/dkms/netkit_rs.ko.xz: kernel/other.ko.xz".
fn listed_in(list: &str) -> Option<&str> {
    list.lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(path, _)| path)
        .find(|path| {
            path.rsplit('/')
                .next()
                .is_some_and(|name| is_named(name, NAME))
        })
}

/// The first file with the module's name under a folder, compressed or not. Symbolic links are not followed: they lead to the
/// kernel's headers.
fn find(folder: &Path) -> Option<PathBuf> {
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).ok()?.flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                Ok(kind)
                    if kind.is_file() && is_named(&entry.file_name().to_string_lossy(), NAME) =>
                {
                    return Some(entry.path())
                }
                _ => {}
            }
        }
    }
    None
}

/// Opens a file. Refuses a file that is not this module, or is built for another kernel: the loader would explain that in the
/// kernel log only.
pub fn open(path: &Path) -> Result<ModuleFile> {
    let file = ModuleFile::open(path).with_context(|| {
        format!(
            "cannot read the module {} (build it with `make`)",
            path.display()
        )
    })?;
    let info = modinfo(&file.bytes)
        .with_context(|| format!("{} is not a kernel module", path.display()))?;
    if value(&info, "name") != Some("netkit_rs") {
        return Err(Kind::Conflict.error(format!(
            "{} is a kernel module, but not netkit_rs",
            path.display()
        )));
    }
    let built_for = release_of(value(&info, "vermagic").unwrap_or_default());
    let running = running_release()?;
    if built_for != running {
        return Err(Kind::Conflict.error(format!(
            "{} was built for kernel {built_for}, but {running} is running: boot the other kernel, or build the module for \
             this one (`NETKIT_RS_KERNEL={running} make`, then load target/kernel-{running}/module/netkit_rs.ko)",
            path.display()
        )));
    }
    Ok(file)
}

/// The linker's hash of the build, if the file has one.
pub fn build_id(module: &ModuleFile) -> Option<String> {
    let elf = ElfFile64::<object::Endianness>::parse(module.bytes.as_slice()).ok()?;
    let id = elf.build_id().ok()??;
    Some(hexadecimal(id))
}

/// Bytes as hexadecimal digits.
pub fn hexadecimal(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect()
}

/// The strings of `.modinfo`, each `key=value`.
fn modinfo(bytes: &[u8]) -> Result<Vec<String>> {
    let elf = ElfFile64::<object::Endianness>::parse(bytes)?;
    let section = elf
        .section_by_name(".modinfo")
        .ok_or_else(|| anyhow!("it has no section .modinfo"))?;
    Ok(strings(section.data()?))
}

fn strings(data: &[u8]) -> Vec<String> {
    data.split(|byte| *byte == 0)
        .filter(|text| !text.is_empty())
        .map(|text| String::from_utf8_lossy(text).into_owned())
        .collect()
}

fn value<'a>(info: &'a [String], key: &str) -> Option<&'a str> {
    info.iter()
        .find_map(|entry| entry.strip_prefix(key)?.strip_prefix('='))
}

/// "7.3.4+deb13-amd64 SMP preempt mod_unload " begins with the release.
fn release_of(vermagic: &str) -> &str {
    vermagic.split(' ').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modinfo_strings() {
        let info = strings(b"license=GPL v2\0\0name=netkit_rs\0vermagic=7.3.4+deb13-amd64 SMP \0");
        assert_eq!(value(&info, "name"), Some("netkit_rs"));
        assert_eq!(value(&info, "nam"), None);
        let vermagic = value(&info, "vermagic").unwrap_or_default();
        assert_eq!(release_of(vermagic), "7.3.4+deb13-amd64");
    }

    #[test]
    fn modules_dep() {
        let list = "kernel/net/a.ko.xz: kernel/net/netkit_rs.ko\nupdates/dkms/netkit_rs.ko.xz:\n";
        assert_eq!(listed_in(list), Some("updates/dkms/netkit_rs.ko.xz"));
        assert_eq!(listed_in("kernel/net/not_netkit_rs.ko:\n"), None);
    }

    #[test]
    fn not_a_module() {
        assert!(modinfo(b"#!/bin/sh\n").is_err());
        assert!(modinfo(b"").is_err());
    }
}
