// SPDX-License-Identifier: GPL-2.0
//! The command line. The manual pages and the completions are generated from it, too (`make docs`).

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::Parser;
use clap::Subcommand;
use clap::ValueHint;
use netkit_aya::NetkitOrder;

use crate::change::Place;
use crate::object::Choice;
use crate::target::Relative;
use crate::target::Target;

/// Loads the Rust netkit driver, shows netkit devices and packets, and attaches BPF programs.
#[derive(Parser)]
#[command(
    name = "netkit-rs",
    version,
    arg_required_else_help = true,
    disable_help_subcommand = true
)]
pub struct Cli {
    /// Print JSON, for other programs to read
    #[arg(long, global = true)]
    pub json: bool,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub enum Command {
    /// Replace the built-in netkit driver with the Rust one, and wait until every task has switched to it
    ///
    /// The Rust driver takes over all netkit devices of all network namespaces. Traffic, programs, links and settings stay.
    /// A load that was interrupted is continued.
    Load(Load),
    /// Hand all devices back to the built-in driver, and remove the Rust driver from the kernel
    ///
    /// Traffic, programs, links and settings stay, except dev-switch, which the built-in driver does not have. An unload that
    /// was interrupted is continued.
    Unload(Unload),
    /// Replace the loaded module with another build of it
    ///
    /// The file is checked first; a wrong file changes nothing. Then the old build is unloaded and the new one is loaded. The
    /// built-in driver serves all devices in between.
    Reload(Reload),
    /// Show which driver serves the netkit devices, the devices, and the programs that run on them
    ///
    /// The number of devices of each driver counts all network namespaces; only root sees the C driver's number. Programs are
    /// listed in the order in which they run, with the numbers that attach, replace and detach accept. Only root sees the
    /// programs.
    Status(Status),
    /// Attach a program to the packets that one device of a pair sends
    ///
    /// With --pin, the program is attached by a link, which exists as long as the pin. Otherwise it is attached without a link,
    /// until it is detached or the device is deleted.
    Attach(Attach),
    /// Replace an attached program with another one, in one step
    Replace(Replace),
    /// Detach a program from its device; if a pin is given, remove the pin, too
    Detach(Detach),
    /// Follow packets: show each packet that netkit devices send, and what becomes of it
    ///
    /// A line for each packet: the device that sends it, its addresses, and whether it was passed to the peer, redirected to
    /// another device, or dropped, and why. Works for both drivers, in all network namespaces. Nothing stays in the kernel after
    /// the command has ended. With --json, each packet is a line of JSON.
    Trace(Trace),
}

#[derive(Args)]
pub struct Load {
    /// The module [default: the one built next to this command, else the one installed for this kernel]
    #[arg(value_hint = ValueHint::FilePath)]
    pub module: Option<PathBuf>,
    #[command(flatten)]
    pub patience: Patience,
}

#[derive(Args)]
pub struct Unload {
    #[command(flatten)]
    pub patience: Patience,
}

#[derive(Args)]
pub struct Reload {
    /// The module [default: the one built next to this command, else the one installed for this kernel]
    #[arg(value_hint = ValueHint::FilePath)]
    pub module: Option<PathBuf>,
    #[command(flatten)]
    pub patience: Patience,
}

#[derive(Args)]
pub struct Patience {
    /// How long to wait for the tasks that have to switch to the other driver
    #[arg(long, value_name = "SECONDS", default_value_t = crate::module::PATIENCE.as_secs())]
    timeout: u64,
}

impl Patience {
    pub fn duration(&self) -> Duration {
        Duration::from_secs(self.timeout)
    }
}

#[derive(Args)]
pub struct Status {
    /// Show only this device
    pub dev: Option<String>,
    /// Show the devices of all network namespaces
    #[arg(long, short, conflicts_with = "netns")]
    pub all: bool,
    /// Show the devices of this network namespace: a name that `ip netns` knows, or a path
    #[arg(long, short, value_name = "NAME")]
    pub netns: Option<String>,
}

#[derive(Args)]
pub struct Trace {
    /// Only the packets that this device or its peer sends
    pub dev: Option<String>,
    /// The network namespace of the device: a name that `ip netns` knows, or a path
    #[arg(long, short, value_name = "NAME", requires = "dev")]
    pub netns: Option<String>,
    /// Stop after this number of packets
    #[arg(long, short, value_name = "NUMBER")]
    pub count: Option<u64>,
}

/// What to attach.
#[derive(Args)]
struct Source {
    /// An object file (clang -target bpf -c), or a program pinned in a BPF file system
    #[arg(value_hint = ValueHint::FilePath)]
    source: PathBuf,
    /// The program's name, if the file has several
    #[arg(long, short)]
    program: Option<String>,
    /// The program's section, if the file has several
    #[arg(long, short)]
    section: Option<String>,
}

impl Source {
    fn choice(&self) -> Choice {
        Choice {
            program: self.program.clone(),
            section: self.section.clone(),
        }
    }
}

#[derive(Args)]
pub struct Attach {
    #[command(flatten)]
    source: Source,
    /// The primary device of the pair
    #[arg(long, short)]
    dev: String,
    #[command(flatten)]
    side: Side,
    /// Attach by a link, and pin it to this path in a BPF file system
    #[arg(long, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pin: Option<PathBuf>,
    #[command(flatten)]
    order: Order,
    /// Attach only if the programs of this side are at this revision (`status` shows it)
    #[arg(long)]
    revision: Option<u64>,
}

#[derive(Args)]
struct Side {
    /// The packets that the peer sends [default: those that the primary sends]
    #[arg(long)]
    peer: bool,
    /// The primary's network namespace: a name that `ip netns` knows, or a path
    #[arg(long, short, value_name = "NAME")]
    netns: Option<String>,
}

/// The place of the program in the order of those that are attached.
#[derive(Args)]
#[group(multiple = false)]
struct Order {
    /// Run before all other programs
    #[arg(long)]
    first: bool,
    /// Run after all other programs (the default)
    #[arg(long)]
    last: bool,
    /// Run before this program (its number, or link:ID)
    #[arg(long, value_name = "ID")]
    before: Option<Relative>,
    /// Run after this program (its number, or link:ID)
    #[arg(long, value_name = "ID")]
    after: Option<Relative>,
}

impl From<&Order> for NetkitOrder<'_> {
    fn from(order: &Order) -> Self {
        match (order.first, order.before, order.after) {
            (true, ..) => Self::first(),
            (_, Some(Relative::Program(id)), _) => Self::before_program_id(id),
            (_, Some(Relative::Link(id)), _) => Self::before_link_id(id),
            (_, _, Some(Relative::Program(id))) => Self::after_program_id(id),
            (_, _, Some(Relative::Link(id))) => Self::after_link_id(id),
            // --last, or no option.
            (false, None, None) => Self::last(),
        }
    }
}

impl From<Attach> for crate::change::Attach {
    fn from(args: Attach) -> Self {
        Self {
            choice: args.source.choice(),
            source: args.source.source,
            place: Place {
                netns: args.side.netns,
                dev: Some(args.dev),
                peer: args.side.peer,
            },
            order: NetkitOrder::from(&args.order),
            revision: args.revision,
            pin: args.pin,
        }
    }
}

/// Where to look for a program that is attached without a link.
#[derive(Args)]
struct Where {
    /// For prog:ID: the primary device of the pair
    #[arg(long, short)]
    dev: Option<String>,
    #[command(flatten)]
    side: Side,
}

impl From<Where> for Place {
    fn from(args: Where) -> Self {
        Self {
            netns: args.side.netns,
            dev: args.dev,
            peer: args.side.peer,
        }
    }
}

#[derive(Args)]
pub struct Replace {
    /// What to replace: a pinned link, link:ID, or prog:ID for a program that was attached without a link
    #[arg(value_hint = ValueHint::FilePath)]
    target: Target,
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    place: Where,
}

impl Replace {
    pub fn run(self) -> anyhow::Result<crate::change::Replaced> {
        let choice = self.source.choice();
        let place = Place::from(self.place);
        crate::change::replace(&self.target, &self.source.source, &choice, &place)
    }
}

#[derive(Args)]
pub struct Detach {
    /// What to detach: a pinned link, link:ID, or prog:ID for a program that was attached without a link
    #[arg(value_hint = ValueHint::FilePath)]
    target: Target,
    #[command(flatten)]
    place: Where,
}

impl Detach {
    pub fn run(self) -> anyhow::Result<crate::change::Detached> {
        crate::change::detach(&self.target, &Place::from(self.place))
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use clap::Parser;

    use super::Cli;

    #[test]
    fn arguments_make_sense() {
        Cli::command().debug_assert();
    }

    #[test]
    fn lines_of_the_manual() {
        let lines = [
            "load",
            "load /tmp/netkit_rs.ko.xz --timeout 5",
            "unload --json",
            "reload",
            "reload /tmp/netkit_rs.ko --timeout 5",
            "status",
            "--json status -a nk0",
            "attach f.o -d nk0",
            "attach f.o -p f --dev nk0 --peer --pin /sys/fs/bpf/f --before link:7 --revision 3",
            "replace /sys/fs/bpf/f g.o -s tc",
            "replace prog:9 g.o -d nk0 --peer",
            "detach link:7",
            "detach prog:9 --dev nk0 --netns pod",
            "trace",
            "--json trace nk0 --netns pod --count 5",
        ];
        for line in lines {
            let parsed = Cli::try_parse_from(format!("netkit-rs {line}").split(' '));
            assert!(parsed.is_ok(), "{line}: {:?}", parsed.err());
        }
        let wrong = [
            "attach f.o",
            "attach f.o -d nk0 --first --last",
            "attach f.o -d nk0 --before prog",
            "detach link:0",
            "status -a -n pod",
            "trace --netns pod",
        ];
        for line in wrong {
            let parsed = Cli::try_parse_from(format!("netkit-rs {line}").split(' '));
            assert!(parsed.is_err(), "{line}");
        }
    }
}
