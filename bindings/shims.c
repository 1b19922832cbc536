// SPDX-License-Identifier: GPL-2.0
/*
 * C shims: one static inline function or macro of the kernel each, so that Rust
 * can call it. No logic lives here.
 *
 * The build compiles this file to LLVM bitcode and joins it with the module's
 * Rust, so that a shim on the packet path costs nothing: `__always_inline`, as
 * in the kernel's own rust/helpers/, gets past LLVM's comparison of target
 * attributes. Where the LLVM versions differ, the same file is compiled as an
 * ordinary object and the shims are calls.
 */
#include <linux/bpf.h>
#include <linux/bpf_mprog.h>
#include <linux/etherdevice.h>
#include <linux/filter.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/netdevice.h>
#include <linux/netfilter_netdev.h>
#include <linux/netlink.h>
#include <linux/nsproxy.h>
#include <linux/rcupdate.h>
#include <linux/rtnetlink.h>
#include <linux/sched.h>
#include <linux/skbuff.h>
#include <net/net_namespace.h>
#include <net/netdev_lock.h>
#include <net/netdev_rx_queue.h>
#include <net/netlink.h>
#include <net/rtnetlink.h>
#include <net/tcx.h>

#include "shims.h"

/* The kernel crate's own helpers that are used most: joined here, they inline too. */
#ifdef NETKIT_RS_BITCODE
#define __rust_helper __always_inline
#include "../../rust/helpers/atomic.c"
#include "../../rust/helpers/atomic_ext.c"
#include "../../rust/helpers/rcu.c"
#endif

__always_inline enum skb_drop_reason netkit_rs_pskb_may_pull_reason(struct sk_buff *skb, unsigned int len)
{
	return pskb_may_pull_reason(skb, len);
}

__always_inline int netkit_rs_skb_orphan_frags(struct sk_buff *skb, gfp_t gfp)
{
	return skb_orphan_frags(skb, gfp);
}

__always_inline void netkit_rs_nf_skip_egress(struct sk_buff *skb, bool skip)
{
	nf_skip_egress(skb, skip);
}

__always_inline void netkit_rs_tcx_set_ingress(struct sk_buff *skb, bool ingress)
{
	tcx_set_ingress(skb, ingress);
}

__always_inline void netkit_rs_skb_reset_mac_header(struct sk_buff *skb)
{
	skb_reset_mac_header(skb);
}

__always_inline void netkit_rs_skb_clear_tstamp(struct sk_buff *skb)
{
	skb_clear_tstamp(skb);
}

__always_inline void netkit_rs_eth_skb_pkt_type(struct sk_buff *skb, const struct net_device *dev)
{
	eth_skb_pkt_type(skb, dev);
}

__always_inline void netkit_rs_eth_skb_pull_mac(struct sk_buff *skb)
{
	eth_skb_pull_mac(skb);
}

__always_inline struct ethhdr *netkit_rs_eth_hdr(const struct sk_buff *skb)
{
	return eth_hdr(skb);
}

__always_inline void netkit_rs_skb_postpull_rcsum(struct sk_buff *skb, const void *start,
						  unsigned int len)
{
	skb_postpull_rcsum(skb, start, len);
}

__always_inline void netkit_rs_kfree_skb(struct sk_buff *skb)
{
	kfree_skb(skb);
}

__always_inline void netkit_rs_kfree_skb_reason(struct sk_buff *skb, enum skb_drop_reason reason)
{
	kfree_skb_reason(skb, reason);
}

__always_inline int netkit_rs_net_skb_pad(void)
{
	return NET_SKB_PAD;
}

__always_inline void *netkit_rs_netdev_priv(const struct net_device *dev)
{
	return netdev_priv(dev);
}

__always_inline struct net *netkit_rs_dev_net(const struct net_device *dev)
{
	return dev_net(dev);
}

__always_inline bool netkit_rs_net_eq(const struct net *net1, const struct net *net2)
{
	return net_eq(net1, net2);
}

__always_inline void netkit_rs_dev_sw_netstats_tx_add(struct net_device *dev,
						      unsigned int packets, unsigned int len)
{
	dev_sw_netstats_tx_add(dev, packets, len);
}

__always_inline void netkit_rs_dev_sw_netstats_rx_add(struct net_device *dev, unsigned int len)
{
	dev_sw_netstats_rx_add(dev, len);
}

__always_inline void netkit_rs_dev_core_stats_tx_dropped_inc(struct net_device *dev)
{
	dev_core_stats_tx_dropped_inc(dev);
}

__always_inline unsigned long netkit_rs_dev_stats_read_tx_dropped(const struct net_device *dev)
{
	return DEV_STATS_READ(dev, tx_dropped);
}

__always_inline void netkit_rs_eth_hw_addr_random(struct net_device *dev)
{
	eth_hw_addr_random(dev);
}

__always_inline bool netkit_rs_is_valid_ether_addr(const u8 *addr)
{
	return is_valid_ether_addr(addr);
}

__always_inline struct net *netkit_rs_maybe_get_net(struct net *net)
{
	return maybe_get_net(net);
}

__always_inline void netkit_rs_put_net(struct net *net)
{
	put_net(net);
}

__always_inline bool netkit_rs_is_livepatch_module(struct module *mod)
{
	return is_livepatch_module(mod);
}

__always_inline void netkit_rs_mutex_lock(struct mutex *lock)
{
	mutex_lock(lock);
}

__always_inline bool netkit_rs_netdev_trylock(struct net_device *dev)
{
	return mutex_trylock(&dev->lock);
}

__always_inline void netkit_rs_mutex_unlock(struct mutex *lock)
{
	mutex_unlock(lock);
}

__always_inline void netkit_rs_netdev_lock(struct net_device *dev)
{
	netdev_lock(dev);
}

__always_inline void netkit_rs_netdev_unlock(struct net_device *dev)
{
	netdev_unlock(dev);
}

__always_inline void netkit_rs_netdev_lock_ops(struct net_device *dev)
{
	netdev_lock_ops(dev);
}

__always_inline void netkit_rs_netdev_unlock_ops(struct net_device *dev)
{
	netdev_unlock_ops(dev);
}

__always_inline struct netdev_rx_queue *netkit_rs_netif_get_rx_queue(struct net_device *dev,
								     unsigned int rxq)
{
	return __netif_get_rx_queue(dev, rxq);
}

__always_inline unsigned int
netkit_rs_get_netdev_rx_queue_index(struct netdev_rx_queue *queue)
{
	return get_netdev_rx_queue_index(queue);
}

__always_inline struct bpf_net_context *netkit_rs_bpf_net_ctx_set(struct bpf_net_context *ctx)
{
	return bpf_net_ctx_set(ctx);
}

__always_inline void netkit_rs_bpf_net_ctx_clear(struct bpf_net_context *ctx)
{
	bpf_net_ctx_clear(ctx);
}

__always_inline void netkit_rs_bpf_compute_data_pointers(struct sk_buff *skb)
{
	bpf_compute_data_pointers(skb);
}

__always_inline u32 netkit_rs_bpf_prog_run(const struct bpf_prog *prog, const void *ctx)
{
	return bpf_prog_run(prog, ctx);
}

__always_inline void netkit_rs_bpf_prog_inc(struct bpf_prog *prog)
{
	bpf_prog_inc(prog);
}

__always_inline struct bpf_prog *netkit_rs_bpf_prog_get_type(u32 ufd, enum bpf_prog_type type)
{
	return bpf_prog_get_type(ufd, type);
}

__always_inline void netkit_rs_bpf_mprog_bundle_init(struct bpf_mprog_bundle *bundle)
{
	bpf_mprog_bundle_init(bundle);
}

__always_inline void netkit_rs_bpf_mprog_commit(struct bpf_mprog_entry *entry)
{
	bpf_mprog_commit(entry);
}

__always_inline int netkit_rs_bpf_mprog_total(struct bpf_mprog_entry *entry)
{
	return bpf_mprog_total(entry);
}

__always_inline void *netkit_rs_nla_data(const struct nlattr *nla)
{
	return nla_data(nla);
}

__always_inline int netkit_rs_nla_len(const struct nlattr *nla)
{
	return nla_len(nla);
}

__always_inline ssize_t netkit_rs_nla_strscpy(char *dst, const struct nlattr *nla, size_t dstsize)
{
	return nla_strscpy(dst, nla, dstsize);
}

__always_inline int netkit_rs_nla_total_size(int payload)
{
	return nla_total_size(payload);
}

/* The FMT form copies the text into the message: no pointer into this module stays behind. */
__always_inline void netkit_rs_nl_set_err_msg(struct netlink_ext_ack *extack, const char *msg)
{
	NL_SET_ERR_MSG_FMT(extack, "%s", msg);
}

__always_inline void netkit_rs_nl_set_bad_attr(struct netlink_ext_ack *extack,
					       const struct nlattr *attr)
{
	NL_SET_BAD_ATTR(extack, attr);
}

__always_inline struct net *netkit_rs_rtnl_newlink_peer_net(struct rtnl_newlink_params *params)
{
	return rtnl_newlink_peer_net(params);
}

__always_inline struct net *netkit_rs_current_net(void)
{
	return current->nsproxy->net_ns;
}

__always_inline void *netkit_rs_rcu_dereference_bh(void *const *slot)
{
	return rcu_dereference_check(*(void __rcu *const *)slot, rcu_read_lock_bh_held());
}

__always_inline void *netkit_rs_rtnl_dereference(void *const *slot)
{
	return rtnl_dereference(*(void __rcu *const *)slot);
}

__always_inline void netkit_rs_rcu_assign_pointer(void **slot, void *value)
{
	rcu_assign_pointer(*(void __rcu **)slot, value);
}

__always_inline void netkit_rs_warn_on_once(bool condition)
{
	WARN_ON_ONCE(condition);
}
