// SPDX-License-Identifier: GPL-2.0
//! A device with an option that the built-in driver does not have (`IFLA_NETKIT_DEV_SWITCH`) goes to the built-in driver.
//! The option is forgotten, with a line in the kernel log, and the device works as any of the built-in driver's.

use anyhow::Result;
use nix::errno::Errno;

use super::states;
use crate::bpf::mprog;
use crate::bpf::mprog::Place;
use crate::bpf::probe::Probes;
use crate::bpf::PRIMARY;
use crate::check;
use crate::ctx::Ctx;
use crate::ctx::Duo;
use crate::ctx::HOST4;
use crate::ctx::POD4;
use crate::kmsg::Kmsg;
use crate::module;
use crate::netkit;
use crate::netkit::Spec;
use crate::netkit::DROP;
use crate::nl::attr::Attrs;
use crate::nl::link::linkinfo;
use crate::tests::dev_switch::change;
use crate::tests::dev_switch::dumped;
use crate::tests::dev_switch::seen;
use crate::tests::dev_switch::spec;
use crate::tests::dev_switch::AFTER;
use crate::tests::tests;
use crate::traffic;

tests![
    forgotten_at_unload,
    forgotten_when_handed_back,
    deleted_before_unload,
];

/// A pair with the option, whose two ends differ in their indexes, and the program that looks at the device.
struct Rig {
    duo: Duo,
    probes: Probes,
    kmsg: Kmsg,
}

impl Rig {
    /// The module is loaded.
    fn new(t: &Ctx) -> Result<Self> {
        t.host.add_device("other", "dummy")?;
        let duo = t.duo(spec(AFTER))?;
        check::that("indexes differ", duo.pair.primary != duo.pair.peer)?;
        let probes = Probes::load(1)?;
        mprog::attach(probes.fd(0)?, duo.pair.primary, PRIMARY, Place::default())?;
        let kmsg = Kmsg::tail()?;
        Ok(Self { duo, probes, kmsg })
    }

    /// For so many devices, the log says that options were forgotten since the last look; 0 for no word about it.
    fn told(&mut self, devices: u32) -> Result<()> {
        let mut lines = self.kmsg.lines();
        lines.retain(|line| line.contains("forgotten"));
        let text = format!(
            "netkit_rs: {devices} of the devices had options that the built-in driver does not have: they are forgotten"
        );
        let expected = if devices > 0 { vec![text] } else { vec![] };
        check::equal("the log", lines, expected)
    }

    /// Programs see the primary, and a dump shows the option.
    fn switches_after(&mut self, t: &Ctx) -> Result<()> {
        let Duo { pair, .. } = self.duo;
        check::equal("shown", dumped(t, pair.primary)?, Some(AFTER))?;
        let device = seen(&self.duo, &mut self.probes)?;
        check::equal("programs see", device, pair.primary)
    }

    /// Programs see the peer, as ever, a dump shows nothing, and all traffic passes.
    fn as_usual(&mut self, t: &Ctx) -> Result<()> {
        let Duo { pair, .. } = self.duo;
        check::equal("shown", dumped(t, pair.primary)?, None)?;
        let device = seen(&self.duo, &mut self.probes)?;
        check::equal("programs see", device, pair.peer)?;
        let (host, pod) = (&self.duo.host, &self.duo.pod);
        traffic::udp_exchange(host, pod, POD4.into(), 1000)?;
        traffic::tcp_exchange(pod, host, HOST4.into(), 300_000)
    }
}

fn forgotten_at_unload(t: &Ctx) -> Result<()> {
    module::load(&t.module)?;
    let mut rig = Rig::new(t)?;
    let (other, pod) = (t.ns()?, t.ns()?);
    let second = spec(AFTER).create(&other, &pod)?;
    Spec::l3().create_as("usual0", "usual1", &t.host, &t.host)?;
    rig.switches_after(t)?;
    module::unload()?;
    rig.told(2)?;
    rig.as_usual(t)?;
    is_c(t, &rig)?;

    // The Rust driver does not remember it, and has nothing to forget the next time.
    module::load(&t.module)?;
    rig.as_usual(t)?;
    module::unload()?;
    rig.told(0)?;
    rig.as_usual(t)?;

    Ok(other.del_link(second.primary)?)
}

/// A device that was deleted has nothing to forget.
fn deleted_before_unload(t: &Ctx) -> Result<()> {
    module::load(&t.module)?;
    let mut rig = Rig::new(t)?;
    rig.switches_after(t)?;
    t.host.del_link(rig.duo.pair.primary)?;
    module::unload()?;
    rig.told(0)
}

/// The answers are those of the built-in driver.
fn is_c(t: &Ctx, rig: &Rig) -> Result<()> {
    let primary = rig.duo.pair.primary;
    let give = |fill: &dyn Fn(&mut Attrs)| {
        let mut data = Attrs::new();
        fill(&mut data);
        t.host
            .set_link(primary, &linkinfo(netkit::KIND, Some(&data)))
    };
    let text = "netkit link scrubbing cannot be changed after device creation";
    check::refused(
        "scrubbing",
        give(&|data| {
            data.u32(netkit::SCRUB, 0);
        }),
        Errno::EACCES,
        Some(text),
        Some(netkit::SCRUB),
    )?;
    // It passes the option over.
    change(t, primary, AFTER)?;
    check::equal("shown", dumped(t, primary)?, None)?;
    for (policy, arrives) in [(DROP as u32, false), (0, true)] {
        give(&|data| {
            data.u32(netkit::PEER_POLICY, policy);
        })?;
        let (host, pod) = (&rig.duo.host, &rig.duo.pod);
        let got = traffic::udp_arrives(pod, host, HOST4.into(), arrives)?;
        check::equal("arrives with this policy", got, arrives)?;
    }
    Ok(())
}

fn forgotten_when_handed_back(t: &Ctx) -> Result<()> {
    module::load(&t.module)?;
    let mut rig = Rig::new(t)?;
    for _ in 0..3 {
        rig.switches_after(t)?;
        states::hand_back()?;
        rig.told(1)?;
        rig.as_usual(t)?;
        states::take_over(t)?;
        rig.as_usual(t)?;
        states::hand_back()?;
        rig.told(0)?;
        states::take_over(t)?;
        change(t, rig.duo.pair.primary, AFTER)?;
    }
    rig.switches_after(t)?;
    module::unload()?;
    rig.told(1)?;
    rig.as_usual(t)
}
