/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A lessor: what the selftests have in the place of a network card whose receive queues can be leased.
 *
 * It is made over rtnetlink (kind "nk_lessor"), has a platform device as its parent, as a card has its bus
 * device, and a cable to another lessor: what one sends arrives at the other. All that arrives goes to one
 * queue, the one that the test chose. There it takes the way of a card with zero-copy receive:
 *
 * - an AF_XDP pool is bound: into a buffer of the pool, then through the XDP program (xsk.c);
 * - memory is provided (io_uring): the payload of TCP into that memory, the headers beside it (queue.c);
 * - neither: to the stack.
 *
 * It also sends packets whose payload the kernel does not read (devmem), as a card with a DMA engine does.
 *
 * What each queue has seen is in the device's IFLA_INFO_DATA, for the tests to assert.
 */
#ifndef NK_LESSOR_H
#define NK_LESSOR_H

#include <linux/netdevice.h>
#include <linux/spinlock.h>
#include <net/xdp.h>

struct page_pool;
struct xsk_buff_pool;

/* IFLA_INFO_DATA. */
enum {
	LESSOR_UNSPEC,
	LESSOR_LACKS,	/* u32, at creation: what the device cannot do, LACKS_* */
	LESSOR_ERROR,	/* u32: the errno with which a pool and a wakeup are answered */
	LESSOR_STEER,	/* u32: the queue for all that arrives */
	LESSOR_QUEUE,	/* struct lessor_seen, once a queue, read only */
	__LESSOR_MAX,
};

#define LESSOR_MAX (__LESSOR_MAX - 1)

#define LACKS_NDO_BPF		(1 << 0)
#define LACKS_NDO_XDP_XMIT	(1 << 1)
#define LACKS_NDO_XSK_WAKEUP	(1 << 2)
#define LACKS_ZC_FEATURE	(1 << 3)
#define LACKS_NETMEM_TX		(1 << 4)

/* What a queue has and has seen. */
struct lessor_seen {
	u32 has_pool;
	u32 pools_set;
	u32 pools_cleared;
	u32 wakeups_rx;
	u32 wakeups_tx;
	u32 pool_sent;
	u32 pool_received;
	u32 has_provider;
	u32 restarts;
	u32 provider_received;
	u32 stack_received;
};

/* @lock covers @pool, @pages and @seen, and is taken with bottom halves off. */
struct lessor_queue {
	spinlock_t lock;
	struct xsk_buff_pool *pool;
	struct page_pool *pages;
	struct xdp_rxq_info xdp_rxq;
	struct lessor_seen seen;
};

struct lessor {
	struct net_device_ops ops;
	struct net_device __rcu *far;
	struct bpf_prog __rcu *prog;
	u32 lacks;
	u32 error;
	u32 steer;
	struct lessor_queue *queues;
};

static inline struct lessor *lessor_priv(const struct net_device *dev)
{
	return netdev_priv(dev);
}

/* device.c */
extern const struct net_device_ops lessor_netdev_ops;
void lessor_setup(struct net_device *dev);
void lessor_deliver(struct net_device *dev, u32 index, struct sk_buff *skb);
void lessor_send(struct net_device *dev, struct sk_buff *skb);

/* queue.c */
extern const struct netdev_queue_mgmt_ops lessor_queue_mgmt_ops;
int lessor_open_queues(struct net_device *dev);
void lessor_close_queues(struct net_device *dev);
bool lessor_has_provider(const struct lessor_queue *queue);
int lessor_copy(struct net_device *dev, const struct sk_buff *skb, void *to);
struct sk_buff *lessor_split(struct net_device *dev, struct lessor_queue *queue, struct sk_buff *skb);

/* xsk.c */
int lessor_bpf(struct net_device *dev, struct netdev_bpf *request);
int lessor_xsk_wakeup(struct net_device *dev, u32 index, u32 flags);
struct sk_buff *lessor_xsk_receive(struct net_device *dev, struct lessor_queue *queue, struct sk_buff *skb);

#endif
