// SPDX-License-Identifier: GPL-2.0
//! netfilter's rules over nfnetlink: as much of it as a chain needs that drops everything.

use netlink_packet_core::NLM_F_ACK;
use netlink_packet_core::NLM_F_CREATE;
use netlink_packet_core::NLM_F_REQUEST;

use super::attr::Attrs;
use super::Answer;
use super::Netlink;
use crate::netns::Ns;

const NFNL_MSG_BATCH_BEGIN: u16 = 0x10;
const NFNL_MSG_BATCH_END: u16 = 0x11;
const NFNL_SUBSYS_NFTABLES: u16 = 10;
const NFT_MSG_NEWTABLE: u16 = NFNL_SUBSYS_NFTABLES << 8;
const NFT_MSG_NEWCHAIN: u16 = NFT_MSG_NEWTABLE | 3;
const NFPROTO_NETDEV: u8 = 5;
const NFTA_TABLE_NAME: u16 = 1;
const NFTA_CHAIN_TABLE: u16 = 1;
const NFTA_CHAIN_NAME: u16 = 3;
const NFTA_CHAIN_HOOK: u16 = 4;
const NFTA_CHAIN_POLICY: u16 = 5;
const NFTA_CHAIN_TYPE: u16 = 7;
const NFTA_HOOK_HOOKNUM: u16 = 1;
const NFTA_HOOK_PRIORITY: u16 = 2;
const NFTA_HOOK_DEV: u16 = 3;
const NF_NETDEV_EGRESS: u32 = 1;
const NF_DROP: u32 = 0;

/// Has netfilter drop all that a device sends, until its namespace goes:
/// `table netdev t { chain c { type filter hook egress device NAME priority 0; policy drop; } }`.
pub fn drop_egress(ns: &Ns, device: &str) -> anyhow::Result<()> {
    let socket = ns.run(|| Ok(Netlink::open_netfilter()?))?;
    Ok(add_chain(&socket, device)?)
}

fn add_chain(socket: &Netlink, device: &str) -> Answer<()> {
    let mut table = Attrs::new();
    table.str(NFTA_TABLE_NAME, "t");
    let mut hook = Attrs::new();
    // Numbers are in network order here.
    hook.put(NFTA_HOOK_HOOKNUM, &NF_NETDEV_EGRESS.to_be_bytes())
        .put(NFTA_HOOK_PRIORITY, &0u32.to_be_bytes())
        .str(NFTA_HOOK_DEV, device);
    let mut chain = Attrs::new();
    chain
        .str(NFTA_CHAIN_TABLE, "t")
        .str(NFTA_CHAIN_NAME, "c")
        .nest_flagged(NFTA_CHAIN_HOOK, &hook)
        .put(NFTA_CHAIN_POLICY, &NF_DROP.to_be_bytes())
        .str(NFTA_CHAIN_TYPE, "filter");
    let create = NLM_F_REQUEST | NLM_F_CREATE;
    // One acknowledgement, of the last that may be refused; a refusal of the first comes in its place.
    socket.batch(&[
        (NFNL_MSG_BATCH_BEGIN, NLM_F_REQUEST, marker()),
        (NFT_MSG_NEWTABLE, create, message(&table)),
        (NFT_MSG_NEWCHAIN, create | NLM_F_ACK, message(&chain)),
        (NFNL_MSG_BATCH_END, NLM_F_REQUEST, marker()),
    ])
}

/// `struct nfgenmsg` of a batch: for which part of netfilter.
fn marker() -> Vec<u8> {
    let [high, low] = NFNL_SUBSYS_NFTABLES.to_be_bytes();
    vec![0, 0, high, low]
}

/// `struct nfgenmsg` and attributes.
fn message(attrs: &Attrs) -> Vec<u8> {
    [&[NFPROTO_NETDEV, 0, 0, 0], attrs.bytes()].concat()
}
