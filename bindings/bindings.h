/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What bindgen reads: the kernel's types and functions that the `kernel` crate
 * of 7.3 does not bind yet. `bindgen-flags` beside this file says which of them
 * are taken.
 */
#ifndef NETKIT_RS_BINDINGS_H
#define NETKIT_RS_BINDINGS_H

#include <linux/bpf.h>
#include <linux/bpf_mprog.h>
#include <linux/buildid.h>
#include <linux/etherdevice.h>
#include <linux/ethtool.h>
#include <linux/filter.h>
#include <linux/if_link.h>
#include <linux/livepatch.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/netdevice.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/seq_file.h>
#include <linux/skbuff.h>
#include <net/netdev_queues.h>
#include <net/netdev_rx_queue.h>
#include <net/net_namespace.h>
#include <net/netlink.h>
#include <net/rtnetlink.h>
#include <net/xdp.h>
#include <net/xdp_sock_drv.h>

/* The built-in driver's tables: `static` in drivers/net/netkit.c, reached by livepatch relocation. */
extern struct rtnl_link_ops netkit_link_ops;
extern const struct bpf_link_ops netkit_link_lops;
extern const struct net_device_ops netkit_netdev_ops;
extern const struct ethtool_ops netkit_ethtool_ops;
extern const struct netdev_queue_mgmt_ops netkit_queue_mgmt_ops;

/* kernel/livepatch/core.h, which is the livepatch core's own. */
extern struct mutex klp_mutex;
extern struct list_head klp_patches;

/* net/xdp/xsk.h, which is AF_XDP's own. */
void xsk_clear_pool_at_qid(struct net_device *dev, u16 queue_id);

/* Macros that bindgen cannot evaluate; the build drops the prefix from the names. */
static const netdev_features_t RUST_CONST_HELPER_NETIF_F_SG = NETIF_F_SG;
static const netdev_features_t RUST_CONST_HELPER_NETIF_F_FRAGLIST = NETIF_F_FRAGLIST;
static const netdev_features_t RUST_CONST_HELPER_NETIF_F_HW_CSUM = NETIF_F_HW_CSUM;
static const netdev_features_t RUST_CONST_HELPER_NETIF_F_RXCSUM = NETIF_F_RXCSUM;
static const netdev_features_t RUST_CONST_HELPER_NETIF_F_SCTP_CRC = NETIF_F_SCTP_CRC;
static const netdev_features_t RUST_CONST_HELPER_NETIF_F_HIGHDMA = NETIF_F_HIGHDMA;
static const netdev_features_t RUST_CONST_HELPER_NETIF_F_GSO_SOFTWARE = NETIF_F_GSO_SOFTWARE;
static const netdev_features_t RUST_CONST_HELPER_NETIF_F_GSO_ENCAP_ALL = NETIF_F_GSO_ENCAP_ALL;
static const netdev_features_t RUST_CONST_HELPER_NETIF_F_HW_VLAN_CTAG_TX = NETIF_F_HW_VLAN_CTAG_TX;
static const netdev_features_t RUST_CONST_HELPER_NETIF_F_HW_VLAN_CTAG_RX = NETIF_F_HW_VLAN_CTAG_RX;
static const netdev_features_t RUST_CONST_HELPER_NETIF_F_HW_VLAN_STAG_TX = NETIF_F_HW_VLAN_STAG_TX;
static const netdev_features_t RUST_CONST_HELPER_NETIF_F_HW_VLAN_STAG_RX = NETIF_F_HW_VLAN_STAG_RX;
static const gfp_t RUST_CONST_HELPER_GFP_ATOMIC = GFP_ATOMIC;
static const xa_mark_t RUST_CONST_HELPER_XA_PRESENT = XA_PRESENT;
static const u32 RUST_CONST_HELPER_NETDEV_XDP_ACT_XSK = NETDEV_XDP_ACT_XSK;

#include "shims.h"

#endif
