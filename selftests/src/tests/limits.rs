// SPDX-License-Identifier: GPL-2.0
//! Limits: MTU, numbers of queues, room around the packet.

use anyhow::Result;
use nix::errno::Errno;

use crate::check;
use crate::ctx::Ctx;
use crate::netkit;
use crate::netkit::Spec;

tests![
    mtu_of_each_side,
    mtu_at_creation,
    mtu_limits,
    tx_queues,
    rx_queues,
    peer_queues,
];

const IFLA_NUM_TX_QUEUES: u16 = 31;
const IFLA_NUM_RX_QUEUES: u16 = 32;
const IFLA_MIN_MTU: u16 = 50;
const IFLA_MAX_MTU: u16 = 51;

fn mtu_of_each_side(t: &Ctx) -> Result<()> {
    let pair = Spec::l3().create(&t.host, &t.host)?;
    t.host.set_mtu(pair.primary, 9000)?;
    let mtu = |index| Ok::<_, anyhow::Error>(t.host.link_by_index(index)?.u32(libc::IFLA_MTU));
    check::equal("primary", mtu(pair.primary)?, Some(9000))?;
    check::equal("peer stays", mtu(pair.peer)?, Some(1500))?;
    t.host.set_mtu(pair.peer, 1280)?;
    check::equal("peer", mtu(pair.peer)?, Some(1280))
}

fn mtu_at_creation(t: &Ctx) -> Result<()> {
    let pair = Spec::l3()
        .with(|link| link.u32(libc::IFLA_MTU, 4000))
        .with_peer(|peer| peer.u32(libc::IFLA_MTU, 3000))
        .create(&t.host, &t.host)?;
    let mtu = |index| Ok::<_, anyhow::Error>(t.host.link_by_index(index)?.u32(libc::IFLA_MTU));
    check::equal("primary", mtu(pair.primary)?, Some(4000))?;
    check::equal("peer", mtu(pair.peer)?, Some(3000))
}

fn mtu_limits(t: &Ctx) -> Result<()> {
    let pair = Spec::l3().create(&t.host, &t.host)?;
    let link = t.host.link_by_index(pair.primary)?;
    check::equal("least", link.u32(IFLA_MIN_MTU), Some(68))?;
    check::equal("most", link.u32(IFLA_MAX_MTU), Some(65535))?;
    for mtu in [68, 65535] {
        t.host.set_mtu(pair.primary, mtu)?;
    }
    let below = t.host.set_mtu(pair.primary, 67);
    let text = Some("mtu less than device minimum");
    check::refused("67", below, Errno::EINVAL, text, None)?;
    let above = t.host.set_mtu(pair.primary, 65536);
    let text = Some("mtu greater than device maximum");
    check::refused("65536", above, Errno::EINVAL, text, None)?;
    let spec = Spec::l3().with(|link| link.u32(libc::IFLA_MTU, 65536));
    let answer = spec.name("left").try_create(&t.host);
    t.same("beyond at creation", format!("{answer:?}"));
    let spec = Spec::l3().with_peer(|peer| peer.u32(libc::IFLA_MTU, 65536));
    let answer = spec.name("left").try_create(&t.host);
    t.same("beyond for the peer", format!("{answer:?}"));
    Ok(())
}

fn tx_queues(t: &Ctx) -> Result<()> {
    let with = |queues| Spec::new().with(|link| link.u32(IFLA_NUM_TX_QUEUES, queues));
    for queues in [2, 4096] {
        let answer = with(queues).try_create(&t.host);
        check::refused("tx queues", answer, Errno::EOPNOTSUPP, None, None)?;
    }
    for queues in [0, 4097] {
        let answer = with(queues).try_create(&t.host);
        let text = Some("Invalid number of transmit queues");
        check::refused("tx queues", answer, Errno::EINVAL, text, None)?;
    }
    check::equal("devices", netkit::devices(&t.host)?.len(), 0)?;
    with(1).try_create(&t.host)?;
    check::equal("devices", netkit::devices(&t.host)?.len(), 2)
}

fn rx_queues(t: &Ctx) -> Result<()> {
    let with = |queues| Spec::new().with(|link| link.u32(IFLA_NUM_RX_QUEUES, queues));
    let answer = with(1025).try_create(&t.host);
    check::refused("1025 rx queues", answer, Errno::EOPNOTSUPP, None, None)?;
    let answer = with(0).try_create(&t.host);
    let text = Some("Invalid number of receive queues");
    check::refused("no rx queue", answer, Errno::EINVAL, text, None)?;
    for (queues, name) in [(2, "two"), (1024, "most")] {
        with(queues).name(name).try_create(&t.host)?;
        let link = t.host.link(name)?;
        check::equal("rx queues", link.u32(IFLA_NUM_RX_QUEUES), Some(queues))?;
        check::equal("tx queues", link.u32(IFLA_NUM_TX_QUEUES), Some(1))?;
        // One queue of them is in use until others are leased.
        let real = t.host.run(|| {
            let path = format!("/sys/class/net/{name}/queues");
            Ok(std::fs::read_dir(path).map(|dir| dir.count()).ok())
        })?;
        t.same(&format!("queues of {name} in sysfs"), format!("{real:?}"));
    }
    Ok(())
}

/// Without peer attributes of its own the peer takes the primary's number of queues.
fn peer_queues(t: &Ctx) -> Result<()> {
    let spec = Spec::new().with(|link| link.u32(IFLA_NUM_RX_QUEUES, 4));
    spec.name("left").try_create(&t.host)?;
    for link in netkit::devices(&t.host)? {
        t.same(&link.name(), format!("{:?}", link.u32(IFLA_NUM_RX_QUEUES)));
    }
    let spec = Spec::new().with_peer(|peer| peer.u32(IFLA_NUM_RX_QUEUES, 8));
    spec.name("one").peer("eight").try_create(&t.host)?;
    check::equal("own", t.host.link("one")?.u32(IFLA_NUM_RX_QUEUES), Some(1))?;
    let peer = t.host.link("eight")?;
    check::equal("peer's", peer.u32(IFLA_NUM_RX_QUEUES), Some(8))?;
    let spec = Spec::new().with_peer(|peer| peer.u32(IFLA_NUM_TX_QUEUES, 2));
    let answer = spec.name("no").try_create(&t.host);
    check::refused("peer tx queues", answer, Errno::EOPNOTSUPP, None, None)
}
