// SPDX-License-Identifier: GPL-2.0
//! The module knows the build ID of the kernel that it was built for, and refuses another build of the same release.

use std::fs;
use std::path::Path;

use anyhow::ensure;
use anyhow::Context;
use anyhow::Result;
use nix::errno::Errno;

use crate::check;
use crate::ctx::Ctx;
use crate::ctx::POD4;
use crate::kmsg::Kmsg;
use crate::module;
use crate::netkit::Spec;
use crate::tests::module::built_in_works;
use crate::tests::tests;
use crate::traffic;

tests![another_build_is_refused];

const NT_GNU_BUILD_ID: u32 = 3;

/// The running kernel's build id: the note of that type in /sys/kernel/notes.
fn build_id() -> Result<Vec<u8>> {
    let notes = fs::read("/sys/kernel/notes").context("/sys/kernel/notes")?;
    let mut rest = notes.as_slice();
    while rest.len() >= 12 {
        let word = |n: usize| {
            let bytes = rest[4 * n..4 * n + 4].try_into().unwrap_or_default();
            u32::from_ne_bytes(bytes)
        };
        let [name, value] = [word(0), word(1)].map(|len| len as usize);
        let at = 12 + name.next_multiple_of(4);
        if word(2) == NT_GNU_BUILD_ID && rest[12..].starts_with(b"GNU\0") {
            return Ok(rest[at..at + value].to_vec());
        }
        rest = rest
            .get(at + value.next_multiple_of(4)..)
            .unwrap_or_default();
    }
    anyhow::bail!("the kernel has no build id")
}

fn another_build_is_refused(t: &Ctx) -> Result<()> {
    let duo = t.duo(Spec::l3())?;
    let id = build_id()?;
    let mut bytes = fs::read(&t.module).with_context(|| t.module.display().to_string())?;
    // The whole, or as much of it as an instruction holds.
    let part = &id[..8];
    let places: Vec<_> = bytes
        .windows(part.len())
        .enumerate()
        .filter(|(_, window)| *window == part)
        .map(|(at, _)| at)
        .collect();
    ensure!(
        !places.is_empty(),
        "the module does not hold the id {id:02x?}"
    );
    for at in places {
        bytes[at + 5] ^= 0x40;
    }
    let path = Path::new("/tmp/another_build.ko");
    fs::write(path, bytes).context("a copy of the module")?;
    let mut kmsg = Kmsg::tail()?;
    check::errno("loading", module::insert(path), Errno::ENODEV)?;
    let lines = kmsg.lines();
    let told = |line: &String| line.contains("netkit_rs: the running kernel is another build");
    check::that(&format!("a reason in {lines:?}"), lines.iter().any(told))?;
    check::that("nothing patched", !Path::new(module::PATCH).exists())?;
    traffic::udp_exchange(&duo.host, &duo.pod, POD4.into(), 100)?;
    t.host.del_link(duo.pair.primary)?;
    built_in_works(t)?;
    fs::remove_file(path)?;
    module::load(&t.module)?;
    module::unload()
}
