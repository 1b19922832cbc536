// SPDX-License-Identifier: GPL-2.0
//! The operations whose steps are made to fail. Each can be tried, and undone if it succeeds.

use std::cell::RefCell;
use std::fmt::Write;

use anyhow::Result;
use nix::errno::Errno;
use nix::net::if_::if_nametoindex;

use crate::bpf::link::Link;
use crate::bpf::mprog;
use crate::bpf::mprog::Place;
use crate::bpf::prog::Prog;
use crate::bpf::PEER;
use crate::bpf::PRIMARY;
use crate::ctx::Ctx;
use crate::lessor::Card;
use crate::lessor::Loaded;
use crate::module;
use crate::netkit;
use crate::netkit::Spec;
use crate::netkit::NEXT;
use crate::netkit::SINGLE;
use crate::netns::Ns;
use crate::nl::attr::Attrs;
use crate::nl::link::linkinfo;
use crate::nl::netdev::Netdev;
use crate::nl::Netlink;

/// What an operation is done in.
pub struct Scene {
    host: Ns,
    pod: Ns,
    /// The primary's index, where there is a pair.
    index: u32,
    progs: Vec<Prog>,
    link: RefCell<Option<Link>>,
    /// The card with a queue to lease, where there is one.
    card: Option<(Card, Loaded)>,
}

impl Scene {
    fn empty(t: &Ctx) -> Result<Self> {
        let progs: std::result::Result<_, _> = (0..4).map(|_| Prog::returning(NEXT)).collect();
        Ok(Self {
            host: t.host.clone(),
            pod: t.ns()?,
            index: 0,
            progs: progs?,
            link: RefCell::default(),
            card: None,
        })
    }

    fn pair(t: &Ctx) -> Result<Self> {
        let mut scene = Self::empty(t)?;
        scene.index = Spec::l3().create(&scene.host, &scene.pod)?.primary;
        Ok(scene)
    }

    /// With two programs on the primary's hook already.
    fn populated(t: &Ctx) -> Result<Self> {
        let scene = Self::pair(t)?;
        for prog in &scene.progs[..2] {
            mprog::attach(prog, scene.index, PRIMARY, Place::default())?;
        }
        Ok(scene)
    }

    fn linked(t: &Ctx) -> Result<Self> {
        let scene = Self::populated(t)?;
        scene.link.replace(Some(scene.new_link()?));
        Ok(scene)
    }

    /// A card, and a device that can have one of its queues on lease.
    fn with_card(t: &Ctx) -> Result<Self> {
        let mut scene = Self::empty(t)?;
        let module = Loaded::new(t)?;
        let card = Card::create(&scene.host, "phys", 2, 0, None)?;
        scene.host.up(card.index)?;
        scene.card = Some((card, module));
        scene.lessee()?;
        Ok(scene)
    }

    fn lessee(&self) -> Result<()> {
        let index = Spec::l2().rx_queues(2).create_single("nk0", &self.host)?;
        Ok(self.host.up(index)?)
    }

    /// Takes down what the operation was done in.
    pub fn end(mut self) -> Result<()> {
        self.card
            .take()
            .map_or(Ok(()), |(_, module)| module.unload())
    }

    fn new_link(&self) -> Result<Link, Errno> {
        Link::create(&self.progs[2], self.index, PRIMARY, Place::default())
    }

    /// A request whose only answer is its acknowledgement. Any other answer would stay in the namespace's socket when there
    /// is no memory for the acknowledgement, and be taken for the next request's.
    fn ask(&self, request: impl FnOnce(&Netlink) -> crate::nl::Answer<()>) -> Result<(), Errno> {
        request(&self.host).map_err(|no| no.errno)
    }

    fn remove(&self) -> Result<()> {
        for ns in [&self.host, &self.pod] {
            for device in netkit::devices(ns)? {
                // Its other end may have been the one before.
                let _gone_already = ns.del_link(device.index);
            }
        }
        Ok(())
    }

    /// Everything that a failed operation must leave as it was.
    pub fn state(&self) -> Result<String> {
        let mut text = String::new();
        for ns in [&self.host, &self.pod] {
            for device in netkit::devices(ns)? {
                writeln!(text, "{} {}", device.name(), netkit::data_text(&device))?;
            }
        }
        for hook in [PRIMARY, PEER] {
            if let Ok(query) = mprog::query(self.index, hook) {
                // A new link has another id.
                let linked: Vec<_> = query.links.iter().map(|id| *id != 0).collect();
                writeln!(text, "{:?} {linked:?}", query.progs)?;
            }
        }
        if let Some((card, _)) = &self.card {
            let netdev = self.host.netdev()?;
            writeln!(text, "{:?}", netdev.queue(card.index, 1)?)?;
            let lessee = self.host.link("nk0")?.index;
            writeln!(text, "{:?}", netdev.queue(lessee, 1).err())?;
        }
        if let Some(link) = &*self.link.borrow() {
            let info = link.info()?;
            writeln!(text, "{} on {}", info.prog_id, info.ifindex)?;
        }
        if module::is_loaded() {
            writeln!(text, "{} references", module::references()?)?;
        }
        Ok(text)
    }
}

/// A kernel function that the operation calls: its name, how many calls are let through before the one that fails, and
/// what that one answers.
pub type Step = (&'static str, u32, i64);

pub struct Operation {
    pub name: &'static str,
    pub scene: fn(&Ctx) -> Result<Scene>,
    pub run: fn(&Scene) -> Result<(), Errno>,
    pub undo: fn(&Scene) -> Result<()>,
    /// Whether the kernel needs memory for it. What a hook's programs lie in is part of the device.
    pub allocates: bool,
    /// The errno that the kernel returns for lack of memory, if it is neither ENOMEM nor ENOBUFS.
    pub misnomers: &'static [Errno],
    pub steps: &'static [Step],
}

const NULL: i64 = 0;
const ENFILE: i64 = -(libc::ENFILE as i64);
const ENOMEM: i64 = -(libc::ENOMEM as i64);

/// netdev_register_kobject() does not look whether dev_set_name() found memory, and device_add() refuses what has no name.
const NAMELESS: &[Errno] = &[Errno::EINVAL];
/// __sock_create() takes it that there are too many sockets.
const NO_SOCKET: &[Errno] = &[Errno::ENFILE];

/// Both devices of a pair go through these; the primary is made first and registered last.
const CREATE_PAIR: &[Step] = &[
    ("alloc_netdev_mqs", 0, NULL),
    ("alloc_netdev_mqs", 1, NULL),
    ("register_netdevice", 0, ENOMEM),
    ("register_netdevice", 1, ENOMEM),
    ("device_add", 0, ENOMEM),
    ("device_add", 1, ENOMEM),
    ("rtnl_configure_link", 0, ENOMEM),
    ("rtnl_configure_link", 1, ENOMEM),
];

pub const OPERATIONS: &[Operation] = &[
    Operation {
        name: "create_pair",
        scene: Scene::empty,
        run: |scene| {
            let spec = Spec::l2().name("nk0").peer("nk1").peer_in(&scene.pod);
            spec.try_create(&scene.host).map_err(|no| no.errno)
        },
        undo: Scene::remove,
        allocates: true,
        misnomers: NAMELESS,
        steps: CREATE_PAIR,
    },
    Operation {
        name: "create_pair_of_few_words",
        scene: Scene::empty,
        run: |scene| {
            let spec = Spec::new();
            spec.try_create(&scene.host).map_err(|no| no.errno)
        },
        undo: Scene::remove,
        allocates: true,
        misnomers: NAMELESS,
        steps: CREATE_PAIR,
    },
    Operation {
        name: "create_pair_with_queues",
        scene: Scene::empty,
        run: |scene| {
            let spec = Spec::l3().name("nk0").peer("nk1").headroom(64);
            let spec = spec
                .with(|link| link.u32(libc::IFLA_NUM_RX_QUEUES, 64))
                .with_peer(|peer| peer.u32(libc::IFLA_NUM_RX_QUEUES, 64));
            spec.try_create(&scene.host).map_err(|no| no.errno)
        },
        undo: Scene::remove,
        allocates: true,
        misnomers: NAMELESS,
        steps: CREATE_PAIR,
    },
    Operation {
        name: "create_single",
        scene: Scene::empty,
        run: |scene| {
            let spec = Spec::l2().pairing(SINGLE).name("nk0");
            spec.try_create(&scene.host).map_err(|no| no.errno)
        },
        undo: Scene::remove,
        allocates: true,
        misnomers: NAMELESS,
        steps: &[
            ("alloc_netdev_mqs", 0, NULL),
            ("register_netdevice", 0, ENOMEM),
            ("device_add", 0, ENOMEM),
            ("rtnl_configure_link", 0, ENOMEM),
        ],
    },
    Operation {
        name: "change_settings",
        scene: Scene::pair,
        run: |scene| {
            let mut data = Attrs::new();
            data.u32(netkit::POLICY, netkit::DROP as u32);
            let attrs = linkinfo(netkit::KIND, Some(&data));
            scene.ask(|host| host.set_link(scene.index, &attrs))
        },
        undo: |scene| {
            let mut data = Attrs::new();
            data.u32(netkit::POLICY, netkit::PASS as u32);
            let attrs = linkinfo(netkit::KIND, Some(&data));
            Ok(scene.host.set_link(scene.index, &attrs)?)
        },
        allocates: true,
        misnomers: &[],
        steps: &[],
    },
    Operation {
        name: "delete",
        scene: |t| {
            let mut scene = Scene::linked(t)?;
            scene.link.take();
            scene.index = 0;
            Ok(scene)
        },
        run: |scene| {
            let index = if_nametoindex("nk0")?;
            scene.ask(|host| host.del_link(index))
        },
        undo: |scene| Spec::l3().create(&scene.host, &scene.pod).map(drop),
        allocates: true,
        misnomers: &[],
        steps: &[],
    },
    Operation {
        name: "attach_first",
        scene: Scene::pair,
        run: |scene| mprog::attach(&scene.progs[0], scene.index, PEER, Place::default()),
        undo: |scene| {
            Ok(mprog::detach(
                Some(&scene.progs[0]),
                scene.index,
                PEER,
                Place::default(),
            )?)
        },
        allocates: false,
        misnomers: &[],
        steps: &[("bpf_mprog_attach", 0, ENOMEM)],
    },
    Operation {
        name: "attach_next",
        scene: Scene::linked,
        run: |scene| {
            mprog::attach(
                &scene.progs[3],
                scene.index,
                PRIMARY,
                Place::flags(mprog::BEFORE),
            )
        },
        undo: |scene| {
            Ok(mprog::detach(
                Some(&scene.progs[3]),
                scene.index,
                PRIMARY,
                Place::default(),
            )?)
        },
        allocates: false,
        misnomers: &[],
        steps: &[("bpf_mprog_attach", 0, ENOMEM)],
    },
    Operation {
        name: "replace",
        scene: Scene::populated,
        run: |scene| {
            mprog::attach(
                &scene.progs[3],
                scene.index,
                PRIMARY,
                Place::replace(&scene.progs[0]),
            )
        },
        undo: |scene| {
            let place = Place::replace(&scene.progs[3]);
            Ok(mprog::attach(&scene.progs[0], scene.index, PRIMARY, place)?)
        },
        allocates: false,
        misnomers: &[],
        steps: &[("bpf_mprog_attach", 0, ENOMEM)],
    },
    Operation {
        name: "detach",
        scene: Scene::populated,
        run: |scene| {
            mprog::detach(
                Some(&scene.progs[1]),
                scene.index,
                PRIMARY,
                Place::default(),
            )
        },
        undo: |scene| {
            Ok(mprog::attach(
                &scene.progs[1],
                scene.index,
                PRIMARY,
                Place::default(),
            )?)
        },
        allocates: false,
        misnomers: &[],
        steps: &[("bpf_mprog_detach", 0, ENOMEM)],
    },
    Operation {
        name: "query",
        scene: Scene::linked,
        run: |scene| mprog::query(scene.index, PRIMARY).map(drop),
        undo: |_| Ok(()),
        allocates: false,
        misnomers: &[],
        steps: &[("bpf_mprog_query", 0, ENOMEM)],
    },
    Operation {
        name: "link_create",
        scene: Scene::populated,
        run: |scene| {
            scene.link.replace(Some(scene.new_link()?));
            Ok(())
        },
        undo: |scene| {
            scene.link.take();
            Ok(())
        },
        allocates: true,
        misnomers: &[],
        steps: &[
            ("get_unused_fd_flags", 0, ENFILE),
            ("anon_inode_getfile", 0, ENOMEM),
            ("bpf_link_prime", 0, ENOMEM),
            ("bpf_mprog_attach", 0, ENOMEM),
        ],
    },
    Operation {
        name: "link_update",
        scene: Scene::linked,
        run: |scene| {
            let link = scene.link.borrow();
            link.as_ref().map_or(Err(Errno::ENOENT), |link| {
                link.update(&scene.progs[3], None)
            })
        },
        undo: |scene| {
            let link = scene.link.borrow();
            Ok(link
                .as_ref()
                .map_or(Ok(()), |link| link.update(&scene.progs[2], None))?)
        },
        allocates: false,
        misnomers: &[],
        steps: &[("bpf_mprog_attach", 0, ENOMEM)],
    },
    Operation {
        name: "link_detach",
        scene: Scene::linked,
        run: |scene| {
            scene
                .link
                .borrow()
                .as_ref()
                .map_or(Err(Errno::ENOENT), Link::detach)
        },
        undo: |scene| {
            scene.link.take();
            scene.link.replace(Some(scene.new_link()?));
            Ok(())
        },
        allocates: false,
        misnomers: &[],
        steps: &[],
    },
    Operation {
        name: "queue_lease",
        scene: Scene::with_card,
        run: |scene| {
            let (card, _) = scene.card.as_ref().ok_or(Errno::ENODEV)?;
            let lessee = if_nametoindex("nk0")?;
            let netdev = Netdev::open().map_err(|no| no.errno)?;
            let lease = netdev.lease(lessee, card.offer(1, None));
            lease.map(drop).map_err(|no| no.errno)
        },
        // A lease ends with its device.
        undo: |scene| {
            scene.remove()?;
            scene.lessee()
        },
        allocates: true,
        misnomers: NO_SOCKET,
        steps: &[("netif_set_real_num_rx_queues", 0, ENOMEM)],
    },
];
