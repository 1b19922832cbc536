// SPDX-License-Identifier: GPL-2.0
//! Writes the manual pages and the shell completions (`make docs`): `docs FOLDER`, which gets man8/ and completions/.
//!
//! Commands and options come from `netkit_rs::args`. The other sections are written here: exit statuses, JSON, examples.

use std::env;
use std::error::Error;
use std::fs;
use std::path::Path;

use clap::Command;
use clap::CommandFactory;
use clap_complete::generate_to;
use clap_complete::Shell;
use clap_mangen::Man;
use roff::bold;
use roff::italic;
use roff::roman;
use roff::Roff;

const NAME: &str = "netkit-rs";
const SECTION: &str = "8";

fn main() -> Result<(), Box<dyn Error>> {
    let folder = env::args_os().nth(1).ok_or("usage: docs FOLDER")?;
    let folder = Path::new(&folder);
    let mut command = netkit_rs::args::Cli::command();
    command.build();

    let man = folder.join("man8");
    fs::create_dir_all(&man)?;
    fs::write(man.join(format!("{NAME}.8")), main_page(&command)?)?;
    for sub in command.get_subcommands() {
        let name = sub.get_display_name().unwrap_or_else(|| sub.get_name());
        fs::write(man.join(format!("{name}.8")), sub_page(sub)?)?;
    }

    let completions = folder.join("completions");
    fs::create_dir_all(&completions)?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        generate_to(
            shell,
            &mut netkit_rs::args::Cli::command(),
            NAME,
            &completions,
        )?;
    }
    Ok(())
}

fn man(command: &Command) -> Man {
    Man::new(command.clone())
        .section(SECTION)
        .manual("System administration")
        .source(NAME)
}

fn main_page(command: &Command) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut page = Vec::new();
    let man = man(command);
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    man.render_subcommands_section(&mut page)?;
    for section in [
        rights,
        statuses,
        json,
        examples,
        secure_boot,
        files,
        see_also,
    ] {
        let mut roff = Roff::new();
        section(&mut roff);
        roff.to_writer(&mut page)?;
    }
    Ok(page)
}

fn sub_page(command: &Command) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut page = Vec::new();
    man(command).render(&mut page)?;
    let mut roff = Roff::new();
    roff.control("SH", ["SEE ALSO"]);
    roff.text([bold(NAME), roman("(8): exit statuses, JSON, examples")]);
    roff.to_writer(&mut page)?;
    Ok(page)
}

/// Terms and what they mean.
fn list(roff: &mut Roff, entries: &[(&str, &str)]) {
    for (term, text) in entries {
        roff.control("TP", []);
        roff.text([bold(*term)]);
        roff.text([roman(*text)]);
    }
}

fn rights(roff: &mut Roff) {
    roff.control("SH", ["RIGHTS"]);
    roff.text([
        roman("All commands but "),
        bold("status"),
        roman(" need root. "),
        bold("attach"),
        roman(", "),
        bold("replace"),
        roman(", "),
        bold("detach"),
        roman(", "),
        bold("status"),
        roman(" and "),
        bold("trace"),
        roman(" work with the built-in driver, too."),
    ]);
}

fn secure_boot(roff: &mut Roff) {
    roff.control("SH", ["SECURE BOOT"]);
    roff.text([roman(
        "A kernel in lockdown takes signed modules only. dkms signs the module with its own key; enrol that key once \
         (mokutil --import /var/lib/dkms/mok.pub), restart the machine, and confirm. A module that was built by hand is signed \
         with a key of yours, by the program scripts/sign-file of the kernel's headers.",
    )]);
}

fn files(roff: &mut Roff) {
    roff.control("SH", ["FILES"]);
    list(
        roff,
        &[
            ("/etc/default/netkit-rs", "Whether the service loads the module, and what an upgrade does (Debian packages)."),
            (
                "/sys/module/netkit_rs/parameters/devices",
                "How many devices the Rust driver serves.",
            ),
            (
                "/sys/module/netkit_rs/parameters/takeover",
                "on, off or incomplete. Writing 1 takes all devices over, writing 0 hands them back; the module stays loaded.",
            ),
            ("/lib/modules/RELEASE/updates", "Where the module is installed."),
            ("/usr/share/doc/netkit-rs", "More pages (Debian packages)."),
        ],
    );
}

fn statuses(roff: &mut Roff) {
    roff.control("SH", ["EXIT STATUS"]);
    list(
        roff,
        &[
            ("0", "Success."),
            ("1", "Any other failure; the message says which."),
            ("2", "The arguments are wrong, or contradict each other."),
            ("3", "The command needs root, or the kernel allows the operation to nobody (lockdown, signatures, kernel.modules_disabled)."),
            (
                "4",
                "Something does not exist: a device, a program, a link, a pin, a file, a namespace, the module, netkit itself.",
            ),
            (
                "5",
                "A conflict: the module is loaded already or is built for another kernel, the pin exists already, the revision is \
                 not the expected one, the peer was named instead of its primary, the program has another type, another livepatch \
                 is in transition.",
            ),
            (
                "6",
                "The operation has begun, but did not finish in time: some tasks have not switched to the other driver, or the \
                 kernel's locks of network devices (RTNL) were busy for 10 seconds. All devices work. Run the same command again to \
                 continue, or the command that the message names.",
            ),
        ],
    );
}

fn json(roff: &mut Roff) {
    roff.control("SH", ["JSON"]);
    roff.text([roman("With "), bold("--json"), roman(" every command prints one object (trace: one a line). Keys keep their meaning; new keys may be added. A failure is { \"error\": { \"kind\", \"message\" } }, where kind is one of failed, usage, permission, absent, conflict, timeout, for the exit statuses 1 to 6. If the command line itself is wrong, there is only a message, and no JSON.")]);
    list(
        roff,
        &[
            (
                "load",
                "driver, module (the file; null if the module was in the kernel already, and this command completed the load), \
                 devices_taken_over (how many devices the Rust driver serves now, in all network namespaces; null for an old build \
                 of the module, which does not count)",
            ),
            (
                "unload",
                "driver, devices_handed_back (how many devices this command handed back, in all network namespaces; null for an old \
                 build of the module, which does not count), devices_removed (always 0: no device is removed)",
            ),
            (
                "reload",
                "driver, module (the file), old_build_id, new_build_id (null for a build without one), devices_handed_back, \
                 devices_taken_over",
            ),
            (
                "status",
                "driver (c, rust, none; also c if 0 was written to the module's parameter takeover, so that the module serves no \
                 device; loading, unloading, disabled: the module is in the kernel, but its livepatch is not yet, no longer or not \
                 enabled, and the built-in driver serves the devices), module (null, or version, srcversion, build_id, references), takeover (null \
                 without the module; on: the Rust driver serves all devices; off: the built-in driver serves all devices; incomplete: \
                 the other driver still serves some devices, because locks were busy), devices_by_driver (rust and c: how many devices \
                 each driver serves, in all network namespaces; null if unknown, as c is for a user who is not root), waiting_for (an \
                 array of tid and name: the tasks that a transition waits for), devices (an array)",
            ),
            (
                "status, a device",
                "namespace (inode; current; name, pid and path, each of which may be null), ifindex, name, role (primary, peer), \
                 pairing (pair, single), mode (l2, l3), policy and peer_policy (forward, blackhole), dev_switch (before, after: when a packet of the primary becomes one of the \
                 peer, for the programs of the primary), peer (null, or ifindex and \
                 netnsid, which is null in the same namespace), programs (null for a device without programs of its own, and for \
                 a user who is not root; otherwise primary and peer)",
            ),
            (
                "status, a side",
                "revision, programs (in the order in which they run: id, name, tag, pins, and link: null, or id and pins)",
            ),
            (
                "attach",
                "device, side, program (id, name, tag), link (null, or id and pin), revision (after the change)",
            ),
            ("replace", "old (the id of the replaced program), program, link"),
            (
                "trace",
                "a line for each packet: time (seconds since 1970), device (name, ifindex, namespace: null for that of the command), \
                 role (primary, peer; null if the device has gone), verdict (pass, drop, redirect, unknown), reason (why it was dropped, by the \
                 driver or after a redirect: the kernel's name without SKB_DROP_REASON_; otherwise null), to (the device that received it, or sends it after a redirect; \
                 null if none was seen), length (in bytes, with the Ethernet header), programs (those that ran, in order: id, name, verdict), mark, cpu, ethertype, protocol, source, source_port, destination, destination_port \
                 (null where the packet has none)",
            ),
            ("detach", "program (its id), link (null, or its id), unpinned (null, or the path), pins_left"),
        ],
    );
}

fn examples(roff: &mut Roff) {
    roff.control("SH", ["EXAMPLES"]);
    list(
        roff,
        &[
            (
                "netkit-rs load",
                "Loads the module that is installed for this kernel. The module takes over all netkit devices.",
            ),
            (
                "netkit-rs reload /root/netkit_rs.ko",
                "Replaces the loaded module with another build.",
            ),
            ("netkit-rs unload", "Hands all devices back to the built-in driver, and removes the module."),
            ("netkit-rs status --all", "Shows the netkit devices of all network namespaces, with their programs."),
            (
                "netkit-rs trace nk0",
                "Shows the packets that nk0 and its peer send, and what becomes of each.",
            ),
            (
                "netkit-rs attach filter.bpf.o --dev nk0 --peer --pin /sys/fs/bpf/filter",
                "Attaches the only program of an object file to the packets that the pod behind nk0 sends.",
            ),
            (
                "netkit-rs attach count.bpf.o -p count --dev nk0 --peer --before link:7 --revision 3",
                "Attaches one of several programs, without a link, before the program of link 7, if nobody has changed anything \
                 since revision 3.",
            ),
            (
                "netkit-rs replace /sys/fs/bpf/filter new.bpf.o",
                "Replaces the program of the pinned link, in one step.",
            ),
            ("netkit-rs detach /sys/fs/bpf/filter", "Detaches the program of the pinned link, and removes the pin."),
            (
                "netkit-rs detach prog:12 --dev nk0 --peer",
                "Detaches a program that was attached without a link.",
            ),
        ],
    );
}

fn see_also(roff: &mut Roff) {
    roff.control("SH", ["SEE ALSO"]);
    roff.text([
        bold("ip-link"),
        roman("(8), "),
        bold("bpftool"),
        roman("(8), "),
        bold("ip-netns"),
        roman("(8). Use "),
        italic("ip link"),
        roman(" to make, change and delete devices, and "),
        italic("bpftool"),
        roman(" to look at programs and maps."),
    ]);
}
