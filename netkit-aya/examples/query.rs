// SPDX-License-Identifier: GPL-2.0
//! Lists the programs of both sides of a pair, in the order in which they run.
//!
//! `cargo run --example query -- DEVICE`, as root.

use std::collections::HashMap;
use std::env;
use std::error::Error;

use aya::programs::loaded_programs;
use netkit_aya::NetkitAttachType;

fn main() -> Result<(), Box<dyn Error>> {
    let device = env::args().nth(1).ok_or("usage: query DEVICE")?;
    // A program that is detached in the meantime is left out.
    let names: HashMap<u32, String> = loaded_programs()
        .filter_map(Result::ok)
        .map(|info| (info.id(), info.name_as_str().unwrap_or("?").to_owned()))
        .collect();
    for side in [NetkitAttachType::Primary, NetkitAttachType::Peer] {
        let now = netkit_aya::query(device.as_str(), side)?;
        println!("{side:?}, revision {}", now.revision);
        for program in now.programs {
            let name = names.get(&program.id).map_or("?", String::as_str);
            match program.link_id {
                Some(link) => println!("  {} {name} (link {link})", program.id),
                None => println!("  {} {name}", program.id),
            }
        }
    }
    Ok(())
}
