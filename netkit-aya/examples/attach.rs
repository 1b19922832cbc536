// SPDX-License-Identifier: GPL-2.0
//! Attaches a program to what the pod sends, and keeps it attached by a pinned link.
//!
//! `cargo run --example attach -- OBJECT PROGRAM DEVICE PIN`, as root: for instance `filter.bpf.o filter nk0
//! /sys/fs/bpf/filter`. When the pin is there already, the new program takes the old one's place behind it, at once.

use std::env;
use std::error::Error;
use std::fs;
use std::path::Path;

use aya::programs::SchedClassifier;
use aya::Ebpf;
use netkit_aya::AttachNetkit as _;
use netkit_aya::NetkitAttachType;
use netkit_aya::NetkitOptions;
use netkit_aya::PinnedNetkitLink;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = env::args().skip(1).collect();
    let [object, program, device, pin] = args.as_slice() else {
        return Err("usage: attach OBJECT PROGRAM DEVICE PIN".into());
    };

    // Objects built for libbpf have sections called `tc` or `netkit/peer`; aya takes them under other names.
    let object = netkit_aya::aya_object(fs::read(object)?)?;
    let mut ebpf = Ebpf::load(&object)?;
    let program: &mut SchedClassifier = ebpf
        .program_mut(program)
        .ok_or("the object has no such program")?
        .try_into()?;
    program.load()?;

    if Path::new(pin).exists() {
        let pinned = PinnedNetkitLink::from_pin(pin)?;
        pinned.link().update(program.fd()?)?;
        println!("updated link {}", pinned.link().info()?.id);
    } else {
        let link = program.attach_netkit(
            device.as_str(),
            NetkitAttachType::Peer,
            NetkitOptions::default(),
        )?;
        let pinned = link.pin(pin)?;
        println!("attached by link {}", pinned.link().info()?.id);
    }
    Ok(())
}
