// SPDX-License-Identifier: GPL-2.0
//! The carrier: on when both devices are up, off when one of them is down.

use anyhow::Result;

use crate::check;
use crate::ctx::Ctx;
use crate::ctx::Duo;
use crate::netkit::Spec;
use crate::traffic;

tests![
    needs_both_ends,
    other_order,
    down_takes_both,
    peer_down_drops,
    nothing_to_a_peer_that_is_down,
    state_text,
];

const IFLA_CARRIER: u16 = 33;
const IFLA_OPERSTATE: u16 = 16;

/// Carrier of the primary and of the peer.
fn carriers(duo: &Duo) -> Result<(bool, bool)> {
    let on = |link: crate::nl::link::Link| {
        link.attr(IFLA_CARRIER).map(|attr| attr.payload.clone()) == Some(vec![1])
    };
    let primary = duo.host.link_by_index(duo.pair.primary)?;
    let peer = duo.pod.link_by_index(duo.pair.peer)?;
    Ok((on(primary), on(peer)))
}

fn down(t: &Ctx) -> Result<Duo> {
    let duo = t.duo(Spec::l3())?;
    duo.host.down(duo.pair.primary)?;
    duo.pod.down(duo.pair.peer)?;
    Ok(duo)
}

fn needs_both_ends(t: &Ctx) -> Result<()> {
    let duo = down(t)?;
    check::equal("both down", carriers(&duo)?, (false, false))?;
    duo.host.up(duo.pair.primary)?;
    check::equal("primary up", carriers(&duo)?, (false, false))?;
    duo.pod.up(duo.pair.peer)?;
    check::equal("both up", carriers(&duo)?, (true, true))
}

fn other_order(t: &Ctx) -> Result<()> {
    let duo = down(t)?;
    duo.pod.up(duo.pair.peer)?;
    check::equal("peer up", carriers(&duo)?, (false, false))?;
    duo.host.up(duo.pair.primary)?;
    check::equal("both up", carriers(&duo)?, (true, true))
}

fn down_takes_both(t: &Ctx) -> Result<()> {
    let duo = t.duo(Spec::l3())?;
    check::equal("both up", carriers(&duo)?, (true, true))?;
    duo.host.down(duo.pair.primary)?;
    check::equal("primary down", carriers(&duo)?, (false, false))?;
    duo.host.up(duo.pair.primary)?;
    check::equal("up again", carriers(&duo)?, (true, true))?;
    duo.pod.down(duo.pair.peer)?;
    check::equal("peer down", carriers(&duo)?, (false, false))
}

/// Without a carrier the network layer does not send; a frame socket does.
fn peer_down_drops(t: &Ctx) -> Result<()> {
    let duo = t.duo(Spec::l3())?;
    duo.pod.down(duo.pair.peer)?;
    let before = duo.host.stats(duo.pair.primary)?;
    let answer = traffic::send_frame(&duo.host, duo.pair.primary, &[0; 60]);
    let counted = duo.host.stats(duo.pair.primary)?.since(&before);
    t.same("answer", format!("{answer:?}"));
    t.same("counted", format!("{counted:?}"));
    check::equal("sent", counted.tx_packets, 0)?;
    check::that("dropped", counted.tx_dropped >= 1)
}

fn nothing_to_a_peer_that_is_down(t: &Ctx) -> Result<()> {
    let duo = t.duo(Spec::l3())?;
    duo.pod.down(duo.pair.peer)?;
    let before = duo.pod.stats(duo.pair.peer)?;
    let _refused_or_dropped = traffic::send_frame(&duo.host, duo.pair.primary, &[0; 60]);
    let counted = duo.pod.stats(duo.pair.peer)?.since(&before);
    check::equal("received", counted.rx_packets, 0)
}

fn state_text(t: &Ctx) -> Result<()> {
    let duo = t.duo(Spec::l3())?;
    let state = |duo: &Duo| -> Result<Option<Vec<u8>>> {
        let link = duo.host.link_by_index(duo.pair.primary)?;
        Ok(link.attr(IFLA_OPERSTATE).map(|attr| attr.payload.clone()))
    };
    // Link watch works in the background. 6 is up, 7 not there but lower layer down is 3.
    check::soon("up", || Ok(state(&duo)? == Some(vec![6])))?;
    duo.pod.down(duo.pair.peer)?;
    check::soon("lower layer down or down", || {
        Ok(matches!(state(&duo)?.as_deref(), Some([2] | [3])))
    })?;
    t.same("state with the peer down", format!("{:?}", state(&duo)?));
    Ok(())
}
