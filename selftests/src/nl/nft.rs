// SPDX-License-Identifier: GPL-2.0
//! netfilter's rules over nfnetlink: as much of it as a chain needs that drops everything, and a rule that looks at connections.

use anyhow::Result;
use netlink_packet_core::NLM_F_ACK;
use netlink_packet_core::NLM_F_APPEND;
use netlink_packet_core::NLM_F_CREATE;
use netlink_packet_core::NLM_F_REQUEST;

use super::attr::Attrs;
use super::Netlink;
use crate::netns::Ns;

const NFNL_MSG_BATCH_BEGIN: u16 = 0x10;
const NFNL_MSG_BATCH_END: u16 = 0x11;
const NFNL_SUBSYS_NFTABLES: u16 = 10;
const NFT_MSG_NEWTABLE: u16 = NFNL_SUBSYS_NFTABLES << 8;
const NFT_MSG_NEWCHAIN: u16 = NFT_MSG_NEWTABLE | 3;
const NFT_MSG_NEWRULE: u16 = NFT_MSG_NEWTABLE | 6;
const NFPROTO_IPV4: u8 = 2;
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
const NFTA_RULE_TABLE: u16 = 1;
const NFTA_RULE_CHAIN: u16 = 2;
const NFTA_RULE_EXPRESSIONS: u16 = 4;
const NFTA_LIST_ELEM: u16 = 1;
const NFTA_EXPR_NAME: u16 = 1;
const NFTA_EXPR_DATA: u16 = 2;
const NFTA_CT_DREG: u16 = 1;
const NFTA_CT_KEY: u16 = 2;
const NF_NETDEV_EGRESS: u32 = 1;
const NF_INET_LOCAL_IN: u32 = 1;
const NF_DROP: u32 = 0;
const NF_ACCEPT: u32 = 1;
const NFT_CT_STATE: u32 = 0;
const NFT_REG32_00: u32 = 8;

/// Has netfilter drop all that a device sends, until its namespace goes:
/// `table netdev t { chain c { type filter hook egress device NAME priority 0; policy drop; } }`.
pub fn drop_egress(ns: &Ns, device: &str) -> Result<()> {
    let mut hook = Attrs::new();
    // Numbers are in network order here.
    hook.put(NFTA_HOOK_HOOKNUM, &NF_NETDEV_EGRESS.to_be_bytes())
        .put(NFTA_HOOK_PRIORITY, &0u32.to_be_bytes())
        .str(NFTA_HOOK_DEV, device);
    add_chain(ns, NFPROTO_NETDEV, &hook, NF_DROP, None)
}

/// Has netfilter follow the IPv4 connections of a namespace, which it does if a rule asks for their state:
/// `table ip t { chain c { type filter hook input priority 0; policy accept; ct state; } }`.
pub fn track_connections(ns: &Ns) -> Result<()> {
    let mut hook = Attrs::new();
    hook.put(NFTA_HOOK_HOOKNUM, &NF_INET_LOCAL_IN.to_be_bytes())
        .put(NFTA_HOOK_PRIORITY, &0u32.to_be_bytes());
    let mut data = Attrs::new();
    data.put(NFTA_CT_DREG, &NFT_REG32_00.to_be_bytes())
        .put(NFTA_CT_KEY, &NFT_CT_STATE.to_be_bytes());
    let mut expression = Attrs::new();
    expression
        .str(NFTA_EXPR_NAME, "ct")
        .nest_flagged(NFTA_EXPR_DATA, &data);
    let mut expressions = Attrs::new();
    expressions.nest_flagged(NFTA_LIST_ELEM, &expression);
    let mut rule = Attrs::new();
    rule.str(NFTA_RULE_TABLE, "t")
        .str(NFTA_RULE_CHAIN, "c")
        .nest_flagged(NFTA_RULE_EXPRESSIONS, &expressions);
    add_chain(ns, NFPROTO_IPV4, &hook, NF_ACCEPT, Some(&rule))
}

/// A table `t` with a chain `c` at a hook, and a rule in the chain.
fn add_chain(ns: &Ns, family: u8, hook: &Attrs, policy: u32, rule: Option<&Attrs>) -> Result<()> {
    let mut table = Attrs::new();
    table.str(NFTA_TABLE_NAME, "t");
    let mut chain = Attrs::new();
    chain
        .str(NFTA_CHAIN_TABLE, "t")
        .str(NFTA_CHAIN_NAME, "c")
        .nest_flagged(NFTA_CHAIN_HOOK, hook)
        .put(NFTA_CHAIN_POLICY, &policy.to_be_bytes())
        .str(NFTA_CHAIN_TYPE, "filter");
    let create = NLM_F_REQUEST | NLM_F_CREATE;
    let mut requests = vec![
        (NFNL_MSG_BATCH_BEGIN, NLM_F_REQUEST, marker()),
        (NFT_MSG_NEWTABLE, create, message(family, &table)),
        (NFT_MSG_NEWCHAIN, create, message(family, &chain)),
    ];
    if let Some(rule) = rule {
        let append = create | NLM_F_APPEND;
        requests.push((NFT_MSG_NEWRULE, append, message(family, rule)));
    }
    // One acknowledgement, of the last that may be refused; a refusal of an earlier one comes in its place.
    if let Some((_, flags, _)) = requests.last_mut() {
        *flags |= NLM_F_ACK;
    }
    requests.push((NFNL_MSG_BATCH_END, NLM_F_REQUEST, marker()));
    let socket = ns.run(|| Ok(Netlink::open_netfilter()?))?;
    Ok(socket.batch(&requests)?)
}

/// `struct nfgenmsg` of a batch: for which part of netfilter.
fn marker() -> Vec<u8> {
    let [high, low] = NFNL_SUBSYS_NFTABLES.to_be_bytes();
    vec![0, 0, high, low]
}

/// `struct nfgenmsg` and attributes.
fn message(family: u8, attrs: &Attrs) -> Vec<u8> {
    [&[family, 0, 0, 0], attrs.bytes()].concat()
}
