// SPDX-License-Identifier: GPL-2.0
//! Permissions: everything that the manager of a pair does is tried by others.
//!
//! A child without some or all of root's capabilities inherits descriptors of programs and a link, as from a service,
//! and tries one operation after the other. Each result is asserted, and must be C's.

use std::fs::File;
use std::io::Read;
use std::io::Write;
use std::os::fd::AsFd;

use anyhow::Context;
use anyhow::Result;
use caps::CapSet;
use caps::Capability;
use caps::CapsHashSet;
use nix::errno::Errno;
use nix::sched::unshare;
use nix::sched::CloneFlags;
use nix::sys::wait::waitpid;
use nix::unistd::fork;
use nix::unistd::pipe;
use nix::unistd::setresgid;
use nix::unistd::setresuid;
use nix::unistd::ForkResult;
use nix::unistd::Gid;
use nix::unistd::Uid;

use crate::bpf;
use crate::bpf::link::Link;
use crate::bpf::mprog;
use crate::bpf::mprog::Place;
use crate::bpf::prog::Prog;
use crate::bpf::PEER;
use crate::bpf::PRIMARY;
use crate::check;
use crate::ctx::Ctx;
use crate::netkit;
use crate::netkit::Spec;
use crate::netkit::DROP;
use crate::netkit::PASS;
use crate::netns::Ns;
use crate::nl::attr::Attrs;
use crate::nl::link::ifinfomsg;
use crate::nl::link::linkinfo;
use crate::nl::link::Link as Device;
use crate::nl::Netlink;
use crate::nl::Refusal;

/// As the kernel's header has it; libc does not name it.
const IFLA_TARGET_NETNSID: u16 = 46;

tests![
    nobody,
    with_cap_bpf,
    with_cap_net_admin,
    with_both,
    guest_in_the_same_namespace,
    guest_in_its_own_namespace,
    root_of_the_pod,
    pod_of_a_guest,
    namespaces_of_others,
    by_the_number_of_a_namespace,
    by_the_number_of_a_guests,
];

/// What of root's power is left.
#[derive(Clone, Copy)]
enum Who {
    /// Another user, without any capability.
    Nobody,
    /// Root in name, with these capabilities only.
    Capable(&'static [Capability]),
    /// Root of a new user namespace, in the network namespace of the test.
    Guest,
    /// Root of new user and network namespaces.
    GuestAway,
}

impl Who {
    fn become_it(self) -> Result<()> {
        match self {
            Who::Nobody => {
                let (gid, uid) = (Gid::from_raw(65534), Uid::from_raw(65534));
                setresgid(gid, gid, gid)?;
                setresuid(uid, uid, uid)?;
            }
            Who::Capable(left) => {
                let left: CapsHashSet = left.iter().copied().collect();
                caps::set(None, CapSet::Effective, &left)?;
                caps::set(None, CapSet::Permitted, &left)?;
            }
            Who::Guest => unshare(CloneFlags::CLONE_NEWUSER)?,
            Who::GuestAway => unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET)?,
        }
        Ok(())
    }
}

/// What is tried, and how it went.
#[derive(Default)]
struct Report(String);

impl Report {
    fn tell<T, E: Words>(&mut self, what: &str, answer: std::result::Result<T, E>) {
        let answer = answer.map_or_else(|why| why.words(), |_| "ok".into());
        self.0 += &format!("{what}: {answer}\n");
    }
}

trait Words {
    fn words(&self) -> String;
}

impl Words for Errno {
    fn words(&self) -> String {
        format!("{self:?}")
    }
}

impl Words for Refusal {
    fn words(&self) -> String {
        let text = self.text.as_ref();
        let text = text.map_or(String::new(), |text| format!(" \"{text}\""));
        format!("{:?}{text}", self.errno)
    }
}

impl Words for anyhow::Error {
    fn words(&self) -> String {
        format!("{self:#}")
    }
}

impl Words for std::io::Error {
    fn words(&self) -> String {
        self.to_string()
    }
}

/// Runs `f` in a child and answers what it reports. `begin` runs in the parent once the child has become
/// what it is, with its process id.
fn in_child(
    who: Who,
    begin: impl FnOnce(i32) -> Result<()>,
    f: impl FnOnce(&mut Report) -> Result<()>,
) -> Result<String> {
    let (report, reporter) = pipe().context("pipe")?;
    let (ready, tell_ready) = pipe().context("pipe")?;
    let (go, tell_go) = pipe().context("pipe")?;
    // SAFETY: a test's process has one thread, so the child may do all that it may.
    match unsafe { fork() }.context("fork")? {
        ForkResult::Child => {
            drop((report, ready, tell_go));
            let mut told = Report::default();
            let outcome = who.become_it().and_then(|()| {
                File::from(tell_ready).write_all(b".")?;
                File::from(go).read_exact(&mut [0])?;
                f(&mut told)
            });
            if let Err(error) = outcome {
                told.0 += &format!("gave up: {error:#}\n");
            }
            let _parent_reads = File::from(reporter).write_all(told.0.as_bytes());
            std::process::exit(0)
        }
        ForkResult::Parent { child } => {
            drop((reporter, tell_ready, go));
            // If the child could not change its identity, its report says so.
            let begun = match File::from(ready).read_exact(&mut [0]) {
                Ok(()) => begin(child.as_raw()),
                Err(_) => Ok(()),
            };
            let _child_may_be_gone = File::from(tell_go).write_all(b".");
            let mut text = String::new();
            File::from(report).read_to_string(&mut text)?;
            waitpid(child, None).context("waitpid")?;
            begun.map(|()| text)
        }
    }
}

/// Everything that a manager does, in an order in which each could succeed.
fn everything(t: &Ctx, who: Who) -> Result<String> {
    let pod = t.ns()?;
    let pair = Spec::l3().create(&t.host, &pod)?;
    let (index, spare) = (pair.primary, Prog::returning(DROP)?);
    let (first, second) = (Prog::returning(PASS)?, Prog::returning(DROP)?);
    let held = Link::create(&first, index, PEER, Place::default())?;
    let roots = t.host.clone();
    in_child(
        who,
        |_| Ok(()),
        move |told| {
            let own = Netlink::open()?;
            let mut policy = Attrs::new();
            policy.u32(netkit::POLICY, DROP as u32);
            let policy = linkinfo(netkit::KIND, Some(&policy));
            let new = Spec::l3().name("new0").peer("new1");
            // In a namespace of one's own there is a pair by then, in the test's it has long been.
            told.tell("create", new.try_create(&own));
            let through = Spec::l3().name("old0").peer("old1");
            told.tell("create by root's socket", through.try_create(&roots));
            let target = own.link("new0").map_or(index, |link| link.index);
            told.tell("look", own.link_by_index(target));
            told.tell("change", own.set_link(target, &policy));
            told.tell("up", own.up(target));
            told.tell("load", Prog::returning(PASS));
            let place = Place::default;
            told.tell("attach", mprog::attach(&spare, target, PRIMARY, place()));
            told.tell("query", mprog::query(target, PRIMARY));
            told.tell(
                "detach",
                mprog::detach(Some(&spare), target, PRIMARY, place()),
            );
            let link = bpf::link::create_fd(&second, target, PRIMARY, place());
            told.tell("create a link", link);
            told.tell("look at a link", held.info());
            told.tell("its fdinfo", held.fdinfo());
            told.tell("link by id", Link::by_id(held.id));
            told.tell("update a link", held.update(&second, None));
            told.tell("detach a link", held.detach());
            told.tell("delete", own.del_link(target));
            Ok(())
        },
    )
}

/// How many things are tried.
const TRIED: usize = 16;

/// Checks that all succeeds but what is named, with the errno of its refusal.
fn refuses(t: &Ctx, who: Who, refused: &[&str]) -> Result<()> {
    let text = everything(t, who)?;
    t.same("answers", &text);
    check::equal("number of answers", text.lines().count(), TRIED)?;
    let told: Vec<_> = text
        .lines()
        .filter(|line| !line.ends_with(": ok"))
        .collect();
    check::equal("refused", told, refused)
}

/// A program's descriptor is all that bpf(2) asks of who attaches: whoever was given one may,
/// in the namespace that he is in. Loading, asking and rtnetlink are another matter.
const WITHOUT_RIGHTS: &[&str] = &[
    "create: EPERM",
    "create by root's socket: EPERM",
    "change: EPERM",
    "up: EPERM",
    "load: EPERM",
    "query: EPERM",
    "link by id: EPERM",
    "delete: EPERM",
];

fn nobody(t: &Ctx) -> Result<()> {
    refuses(t, Who::Nobody, WITHOUT_RIGHTS)
}

/// A tc program takes CAP_NET_ADMIN too.
fn with_cap_bpf(t: &Ctx) -> Result<()> {
    refuses(t, Who::Capable(&[Capability::CAP_BPF]), WITHOUT_RIGHTS)
}

fn with_cap_net_admin(t: &Ctx) -> Result<()> {
    let who = Who::Capable(&[Capability::CAP_NET_ADMIN]);
    refuses(t, who, &["load: EPERM", "link by id: EPERM"])
}

/// Objects by their id are CAP_SYS_ADMIN's.
fn with_both(t: &Ctx) -> Result<()> {
    let both = &[Capability::CAP_BPF, Capability::CAP_NET_ADMIN];
    refuses(t, Who::Capable(both), &["link by id: EPERM"])
}

fn guest_in_the_same_namespace(t: &Ctx) -> Result<()> {
    refuses(t, Who::Guest, WITHOUT_RIGHTS)
}

fn guest_in_its_own_namespace(t: &Ctx) -> Result<()> {
    refuses(
        t,
        Who::GuestAway,
        &[
            "create by root's socket: EPERM",
            "load: EPERM",
            "query: EPERM",
            "link by id: EPERM",
        ],
    )
}

/// All that root can try at the peer: what the primary decides stays as it is.
fn at_the_peer(told: &mut Report, nl: &Netlink, index: u32, spare: &Prog) {
    for (name, kind) in [
        ("policy", netkit::POLICY),
        ("peer's policy", netkit::PEER_POLICY),
        ("scrub", netkit::SCRUB),
    ] {
        let mut attrs = Attrs::new();
        attrs.u32(kind, 0);
        let change = linkinfo(netkit::KIND, Some(&attrs));
        told.tell(name, nl.set_link(index, &change));
    }
    for (name, hook) in [("primary", PRIMARY), ("peer", PEER)] {
        let place = Place::default;
        told.tell(
            &format!("attach to {name}"),
            mprog::attach(spare, index, hook, place()),
        );
        told.tell(
            &format!("detach from {name}"),
            mprog::detach(Some(spare), index, hook, place()),
        );
        told.tell(&format!("query {name}"), mprog::query(index, hook));
        told.tell(
            &format!("link to {name}"),
            bpf::link::create_fd(spare, index, hook, place()),
        );
    }
    told.tell("mtu", nl.set_mtu(index, 1400));
    told.tell("up", nl.up(index));
    told.tell("delete", nl.del_link(index));
}

/// The results of [`at_the_peer`]. For a guest, a query is refused before the device is looked up.
fn peers_answers(query: &str) -> String {
    let mut text = String::new();
    for what in ["policy", "peer's policy", "scrub"] {
        text += what;
        text +=
            ": EACCES \"netkit link settings can be changed only through the primary device\"\n";
    }
    for hook in ["primary", "peer"] {
        text += &format!(
            "attach to {hook}: EACCES\ndetach from {hook}: EACCES\nquery {hook}: {query}\nlink to {hook}: EACCES\n"
        );
    }
    text + "mtu: ok\nup: ok\ndelete: ok\n"
}

/// Root of the machine, within the pod.
fn root_of_the_pod(t: &Ctx) -> Result<()> {
    let pod = t.ns()?;
    let pair = Spec::l3().create(&t.host, &pod)?;
    let spare = Prog::returning(DROP)?;
    let mut told = Report::default();
    pod.run(|| {
        at_the_peer(&mut told, &pod, pair.peer, &spare);
        Ok(())
    })?;
    t.same("answers", &told.0);
    check::equal("answers", told.0, peers_answers("EACCES"))?;
    check::equal("devices left", netkit::devices(&t.host)?.len(), 0)
}

/// A container: its own root, in a network namespace that belongs to it.
fn pod_of_a_guest(t: &Ctx) -> Result<()> {
    let spare = Prog::returning(DROP)?;
    let give = |pid: i32| {
        let ns = File::open(format!("/proc/{pid}/ns/net")).context("the guest's namespace")?;
        let spec = Spec::l3().name("nk0").peer("eth0").peer_in(&ns);
        Ok(spec.try_create(&t.host)?)
    };
    let text = in_child(Who::GuestAway, give, |told| {
        let nl = Netlink::open()?;
        let index = nl.link("eth0")?.index;
        at_the_peer(told, &nl, index, &spare);
        Ok(())
    })?;
    t.same("answers", &text);
    check::equal("answers", text, peers_answers("EPERM"))?;
    check::equal("devices left", netkit::devices(&t.host)?.len(), 0)
}

/// An index means a device of the caller's namespace, even if another namespace has a device with this index.
fn namespaces_of_others(t: &Ctx) -> Result<()> {
    let other = t.ns()?;
    let spec = Spec {
        index: 77,
        ..Spec::l3()
    };
    let pair = spec.create(&t.host, &other)?;
    check::equal("index", pair.primary, 77)?;
    let spare = Prog::returning(DROP)?;
    let all = || -> Result<Vec<Option<Errno>>> {
        let place = Place::default;
        Ok(vec![
            mprog::attach(&spare, 77, PRIMARY, place()).err(),
            mprog::detach(Some(&spare), 77, PRIMARY, place()).err(),
            mprog::query(77, PRIMARY).err(),
            Link::create(&spare, 77, PRIMARY, place()).err(),
        ])
    };
    check::equal("answers", other.run(all)?, [Some(Errno::ENODEV); 4])?;
    // A stranger has the number there.
    let dummy = linkinfo("dummy", None);
    other.new_link(&ifinfomsg(77, 0, 0), &dummy)?;
    check::equal("answers", other.run(all)?, [Some(Errno::ENXIO); 4])?;
    let answers = all()?;
    check::equal("at home", answers[0], None)
}

/// What rtnetlink does in a namespace that the request names by its number, or has the descriptor of.
///
/// The caller has the peers eth0 and eth1 of two pairs whose primaries are there.
fn into_another(told: &mut Report, nl: &Netlink, there: &Ns) -> Result<()> {
    let (first, second) = (nl.link("eth0")?, nl.link("eth1")?);
    let number = first.u32(libc::IFLA_LINK_NETNSID);
    let number = number.context("a peer that does not tell its primary's namespace")?;
    let mut target = Attrs::new();
    target.u32(IFLA_TARGET_NETNSID, number);
    let primary = |peer: &Device| -> Result<Vec<u8>> {
        let index = peer.u32(libc::IFLA_LINK).context("a peer without a link")?;
        Ok([ifinfomsg(index, 0, 0).as_slice(), target.bytes()].concat())
    };
    let look = nl.request(libc::RTM_GETLINK, 0, &primary(&first)?);
    told.tell("look", look);
    let new = Spec::l3().name("new0").peer("new1");
    let new = new.with(|link| link.u32(IFLA_TARGET_NETNSID, number));
    told.tell("create", new.try_create(nl));
    told.tell("move", nl.set_link(first.index, &target));
    told.tell("move by descriptor", nl.move_to(second.index, there));
    let delete = nl.request(libc::RTM_DELLINK, 0, &primary(&first)?);
    told.tell("delete", delete);
    Ok(())
}

/// The pairs of [`into_another`], with the peers in the namespace of a descriptor.
fn two_pairs(t: &Ctx, pod: impl AsFd) -> Result<()> {
    for (name, peer) in [("nk0", "eth0"), ("nk1", "eth1")] {
        let spec = Spec::l3().name(name).peer(peer).peer_in(&pod);
        spec.try_create(&t.host)?;
    }
    Ok(())
}

fn names(nl: &Netlink) -> Result<Vec<String>> {
    let mut names: Vec<_> = netkit::devices(nl)?.iter().map(Device::name).collect();
    names.sort();
    Ok(names)
}

fn by_the_number_of_a_namespace(t: &Ctx) -> Result<()> {
    let pod = t.ns()?;
    two_pairs(t, &pod)?;
    let mut told = Report::default();
    pod.run(|| into_another(&mut told, &pod, &t.host))?;
    t.same("answers", &told.0);
    let all = "look: ok\ncreate: ok\nmove: ok\nmove by descriptor: ok\ndelete: ok\n";
    check::equal("answers", told.0.as_str(), all)?;
    check::equal("there", names(&t.host)?, ["eth1", "new0", "nk1"])?;
    // Without a namespace of its own, a peer comes to where the request does.
    check::equal("here", names(&pod)?, ["new1"])
}

/// Who is root of his own namespaces alone gets nowhere.
fn by_the_number_of_a_guests(t: &Ctx) -> Result<()> {
    let give = |pid: i32| {
        let path = format!("/proc/{pid}/ns/net");
        two_pairs(t, File::open(path).context("the guest's namespace")?)
    };
    let text = in_child(Who::GuestAway, give, |told| {
        let nl = Netlink::open()?;
        into_another(told, &nl, &t.host)?;
        told.tell(
            "what is left",
            check::equal("", names(&nl)?, ["eth0", "eth1"]),
        );
        Ok(())
    })?;
    t.same("answers", &text);
    let refused =
        "look: EACCES\ncreate: EPERM\nmove: EPERM\nmove by descriptor: EPERM\ndelete: EACCES\n";
    check::equal("answers", text, format!("{refused}what is left: ok\n"))
}
