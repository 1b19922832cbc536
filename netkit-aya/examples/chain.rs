// SPDX-License-Identifier: GPL-2.0
//! Puts two programs on one side, the second one in front of the first, and only if nobody else has changed anything in
//! between.
//!
//! `cargo run --example chain -- OBJECT FIRST SECOND DEVICE`, as root. The programs are attached until Enter is pressed.

use std::env;
use std::error::Error;
use std::fs;
use std::io;

use aya::programs::Link as _;
use aya::programs::ProgramError;
use aya::programs::SchedClassifier;
use aya::Ebpf;
use netkit_aya::query;
use netkit_aya::AttachNetkit as _;
use netkit_aya::NetkitAttachType::Primary;
use netkit_aya::NetkitOptions;
use netkit_aya::NetkitOrder;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = env::args().skip(1).collect();
    let [object, first, second, device] = args.as_slice() else {
        return Err("usage: chain OBJECT FIRST SECOND DEVICE".into());
    };
    let device = device.as_str();
    let object = netkit_aya::aya_object(fs::read(object)?)?;
    let mut ebpf = Ebpf::load(&object)?;

    let link = load(&mut ebpf, first)?.attach_netkit(device, Primary, NetkitOrder::last())?;
    let now = query(device, Primary)?;
    let options = NetkitOptions {
        order: NetkitOrder::before_link(&link)?,
        expected_revision: Some(now.revision),
    };
    let in_front = match load(&mut ebpf, second)?.attach_netkit(device, Primary, options) {
        Err(ProgramError::SyscallError(error))
            if error.io_error.raw_os_error() == Some(libc::ESTALE) =>
        {
            return Err("somebody else has changed the programs: try again".into());
        }
        attached => attached?,
    };

    let now = query(device, Primary)?;
    println!("revision {}, in the order in which they run:", now.revision);
    for program in &now.programs {
        println!("program {} by link {:?}", program.id, program.link_id);
    }
    println!("Enter detaches the two.");
    io::stdin().read_line(&mut String::new())?;
    in_front.detach()?;
    link.detach()?;
    Ok(())
}

fn load<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut SchedClassifier, Box<dyn Error>> {
    let program: &mut SchedClassifier = ebpf
        .program_mut(name)
        .ok_or("the object has no such program")?
        .try_into()?;
    program.load()?;
    Ok(program)
}
