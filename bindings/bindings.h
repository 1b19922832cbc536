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
#include <linux/etherdevice.h>
#include <linux/ethtool.h>
#include <linux/filter.h>
#include <linux/if_link.h>
#include <linux/livepatch.h>
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

/* The built-in driver's tables: `static` in drivers/net/netkit.c, reached by livepatch relocation. */
extern struct rtnl_link_ops netkit_link_ops;
extern const struct bpf_link_ops netkit_link_lops;

#include "shims.h"

#endif
