/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Declarations of the shims, for bindgen and for shims.c. A shim wraps exactly
 * one static inline function or macro of the kernel, under the same name with
 * `netkit_rs_` before it, and holds no logic of its own.
 */
#ifndef NETKIT_RS_SHIMS_H
#define NETKIT_RS_SHIMS_H

/* <linux/skbuff.h>, <linux/etherdevice.h>, <linux/netfilter_netdev.h>, <net/tcx.h> */
enum skb_drop_reason netkit_rs_pskb_may_pull_reason(struct sk_buff *skb, unsigned int len);
int netkit_rs_skb_orphan_frags(struct sk_buff *skb, gfp_t gfp);
void netkit_rs_nf_skip_egress(struct sk_buff *skb, bool skip);
void netkit_rs_tcx_set_ingress(struct sk_buff *skb, bool ingress);
void netkit_rs_skb_reset_mac_header(struct sk_buff *skb);
void netkit_rs_skb_clear_tstamp(struct sk_buff *skb);
void netkit_rs_eth_skb_pkt_type(struct sk_buff *skb, const struct net_device *dev);
void netkit_rs_eth_skb_pull_mac(struct sk_buff *skb);
struct ethhdr *netkit_rs_eth_hdr(const struct sk_buff *skb);
void netkit_rs_skb_postpull_rcsum(struct sk_buff *skb, const void *start, unsigned int len);
void netkit_rs_kfree_skb(struct sk_buff *skb);
void netkit_rs_kfree_skb_reason(struct sk_buff *skb, enum skb_drop_reason reason);
int netkit_rs_net_skb_pad(void);

/* <linux/netdevice.h> */
void *netkit_rs_netdev_priv(const struct net_device *dev);
struct net *netkit_rs_dev_net(const struct net_device *dev);
bool netkit_rs_net_eq(const struct net *net1, const struct net *net2);
void netkit_rs_dev_sw_netstats_tx_add(struct net_device *dev, unsigned int packets, unsigned int len);
void netkit_rs_dev_sw_netstats_rx_add(struct net_device *dev, unsigned int len);
void netkit_rs_dev_core_stats_tx_dropped_inc(struct net_device *dev);
unsigned long netkit_rs_dev_stats_read_tx_dropped(const struct net_device *dev);
void netkit_rs_eth_hw_addr_random(struct net_device *dev);
bool netkit_rs_is_valid_ether_addr(const u8 *addr);

/* <linux/filter.h>, <linux/bpf.h>, <linux/bpf_mprog.h> */
struct bpf_net_context *netkit_rs_bpf_net_ctx_set(struct bpf_net_context *ctx);
void netkit_rs_bpf_net_ctx_clear(struct bpf_net_context *ctx);
void netkit_rs_bpf_compute_data_pointers(struct sk_buff *skb);
u32 netkit_rs_bpf_prog_run(const struct bpf_prog *prog, const void *ctx);
void netkit_rs_bpf_prog_inc(struct bpf_prog *prog);
struct bpf_prog *netkit_rs_bpf_prog_get_type(u32 ufd, enum bpf_prog_type type);
void netkit_rs_bpf_mprog_bundle_init(struct bpf_mprog_bundle *bundle);
void netkit_rs_bpf_mprog_commit(struct bpf_mprog_entry *entry);
int netkit_rs_bpf_mprog_total(struct bpf_mprog_entry *entry);

/* <net/netlink.h>, <linux/netlink.h>, <net/rtnetlink.h> */
void *netkit_rs_nla_data(const struct nlattr *nla);
int netkit_rs_nla_len(const struct nlattr *nla);
ssize_t netkit_rs_nla_strscpy(char *dst, const struct nlattr *nla, size_t dstsize);
int netkit_rs_nla_total_size(int payload);
void netkit_rs_nl_set_err_msg(struct netlink_ext_ack *extack, const char *msg);
void netkit_rs_nl_set_bad_attr(struct netlink_ext_ack *extack, const struct nlattr *attr);
struct net *netkit_rs_rtnl_newlink_peer_net(struct rtnl_newlink_params *params);

/* <linux/rcupdate.h>, <linux/sched.h>, <linux/compiler.h> */
struct net *netkit_rs_current_net(void);
void *netkit_rs_rcu_dereference_bh(void *const *slot);
void *netkit_rs_rtnl_dereference(void *const *slot);
void netkit_rs_rcu_assign_pointer(void **slot, void *value);
void netkit_rs_warn_on_once(bool condition);

/* <net/net_namespace.h>, <linux/module.h>, <linux/mutex.h> */
struct net *netkit_rs_maybe_get_net(struct net *net);
void netkit_rs_put_net(struct net *net);
bool netkit_rs_is_livepatch_module(struct module *mod);
void netkit_rs_mutex_lock(struct mutex *lock);
void netkit_rs_mutex_unlock(struct mutex *lock);

/* <net/netdev_lock.h>, <net/netdev_rx_queue.h> */
void netkit_rs_netdev_lock(struct net_device *dev);
bool netkit_rs_netdev_trylock(struct net_device *dev);
void netkit_rs_netdev_unlock(struct net_device *dev);
void netkit_rs_netdev_lock_ops(struct net_device *dev);
void netkit_rs_netdev_unlock_ops(struct net_device *dev);
struct netdev_rx_queue *netkit_rs_netif_get_rx_queue(struct net_device *dev, unsigned int rxq);
unsigned int netkit_rs_get_netdev_rx_queue_index(struct netdev_rx_queue *queue);

#endif
