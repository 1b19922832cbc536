// SPDX-License-Identifier: GPL-2.0
/*
 * AF_XDP in zero-copy mode. There is no interrupt and no NAPI: a wakeup sends what the socket has for the
 * cable at once, and a frame that arrives goes through the XDP program at once.
 */
#include <linux/bpf_trace.h>
#include <linux/etherdevice.h>
#include <linux/filter.h>
#include <net/xdp_sock_drv.h>

#include "lessor.h"

#define SEND_BUDGET 64

static void lessor_set_pool(struct lessor_queue *queue, struct xsk_buff_pool *pool)
{
	spin_lock_bh(&queue->lock);
	queue->pool = pool;
	if (pool)
		queue->seen.pools_set++;
	else
		queue->seen.pools_cleared++;
	spin_unlock_bh(&queue->lock);
}

static int lessor_add_pool(struct net_device *dev, struct lessor_queue *queue, struct xsk_buff_pool *pool)
{
	int err = -READ_ONCE(lessor_priv(dev)->error);

	if (err)
		return err;
	if (queue->pool)
		return -EBUSY;
	err = xsk_pool_dma_map(pool, dev->dev.parent, 0);
	if (err)
		return err;
	err = xdp_rxq_info_reg_mem_model(&queue->xdp_rxq, MEM_TYPE_XSK_BUFF_POOL, NULL);
	if (err) {
		xsk_pool_dma_unmap(pool, 0);
		return err;
	}
	xsk_pool_set_rxq_info(pool, &queue->xdp_rxq);
	if (xsk_uses_need_wakeup(pool)) {
		xsk_set_rx_need_wakeup(pool);
		xsk_set_tx_need_wakeup(pool);
	}
	lessor_set_pool(queue, pool);
	return 0;
}

static int lessor_remove_pool(struct lessor_queue *queue)
{
	struct xsk_buff_pool *pool = queue->pool;

	if (!pool)
		return -EINVAL;
	lessor_set_pool(queue, NULL);
	xdp_rxq_info_unreg_mem_model(&queue->xdp_rxq);
	xsk_pool_dma_unmap(pool, 0);
	return 0;
}

/* ndo_bpf. */
int lessor_bpf(struct net_device *dev, struct netdev_bpf *request)
{
	struct lessor *lessor = lessor_priv(dev);
	struct lessor_queue *queue;
	struct bpf_prog *old;

	switch (request->command) {
	case XDP_SETUP_PROG:
		old = rtnl_dereference(lessor->prog);
		rcu_assign_pointer(lessor->prog, request->prog);
		if (old)
			bpf_prog_put(old);
		return 0;
	case XDP_SETUP_XSK_POOL:
		if (request->xsk.queue_id >= dev->real_num_rx_queues)
			return -EINVAL;
		queue = &lessor->queues[request->xsk.queue_id];
		if (request->xsk.pool)
			return lessor_add_pool(dev, queue, request->xsk.pool);
		return lessor_remove_pool(queue);
	default:
		return -EINVAL;
	}
}

/* Moves what the sockets of the queue's pool want to send into @frames. */
static void lessor_collect(struct net_device *dev, struct lessor_queue *queue, struct sk_buff_head *frames)
{
	struct xsk_buff_pool *pool = queue->pool;
	struct xdp_desc desc;
	u32 sent = 0;

	while (sent < SEND_BUDGET && xsk_tx_peek_desc(pool, &desc)) {
		struct sk_buff *skb = netdev_alloc_skb(dev, desc.len);

		if (skb) {
			skb_put_data(skb, xsk_buff_raw_get_data(pool, desc.addr), desc.len);
			__skb_queue_tail(frames, skb);
		}
		sent++;
	}
	if (sent) {
		xsk_tx_completed(pool, sent);
		xsk_tx_release(pool);
	}
	queue->seen.pool_sent += sent;
}

/* ndo_xsk_wakeup. No queue's lock is held while the other end of the cable takes its own. */
int lessor_xsk_wakeup(struct net_device *dev, u32 index, u32 flags)
{
	struct lessor *lessor = lessor_priv(dev);
	int err = -READ_ONCE(lessor->error);
	struct lessor_queue *queue;
	struct sk_buff_head frames;
	struct sk_buff *skb;

	if (index >= dev->real_num_rx_queues)
		return -EINVAL;
	__skb_queue_head_init(&frames);
	queue = &lessor->queues[index];
	local_bh_disable();
	spin_lock(&queue->lock);
	if (flags & XDP_WAKEUP_RX)
		queue->seen.wakeups_rx++;
	if (flags & XDP_WAKEUP_TX)
		queue->seen.wakeups_tx++;
	if (!err && !netif_running(dev))
		err = -ENETDOWN;
	if (!err && !queue->pool)
		err = -ENXIO;
	if (!err && flags & XDP_WAKEUP_TX)
		lessor_collect(dev, queue, &frames);
	spin_unlock(&queue->lock);
	while ((skb = __skb_dequeue(&frames)))
		lessor_send(dev, skb);
	local_bh_enable();
	return err;
}

/* Runs the XDP program on a buffer of the pool. The frame is the stack's if the answer is XDP_PASS. */
static u32 lessor_run_prog(struct net_device *dev, struct xdp_buff *xdp)
{
	struct bpf_net_context on_stack, *context;
	struct bpf_prog *prog;
	u32 verdict = XDP_PASS;

	context = bpf_net_ctx_set(&on_stack);
	rcu_read_lock();
	prog = rcu_dereference(lessor_priv(dev)->prog);
	if (prog)
		verdict = bpf_prog_run_xdp(prog, xdp);
	if (verdict == XDP_REDIRECT && xdp_do_redirect(dev, xdp, prog))
		verdict = XDP_DROP;
	xdp_do_flush();
	rcu_read_unlock();
	bpf_net_ctx_clear(context);
	return verdict;
}

/*
 * A frame arrives at a queue with a pool: it goes into one of the pool's buffers, and there through the XDP
 * program. Answers the frame if it is for the stack. Under the queue's lock.
 */
struct sk_buff *lessor_xsk_receive(struct net_device *dev, struct lessor_queue *queue, struct sk_buff *skb)
{
	struct xdp_buff *xdp = NULL;
	u32 verdict;

	if (skb->len <= xsk_pool_get_rx_frame_size(queue->pool))
		xdp = xsk_buff_alloc(queue->pool);
	if (!xdp) {
		kfree_skb(skb);
		return NULL;
	}
	xsk_buff_set_size(xdp, skb->len);
	memcpy(xdp->data, skb->data, skb->len);
	xsk_buff_dma_sync_for_cpu(xdp);
	verdict = lessor_run_prog(dev, xdp);
	if (verdict != XDP_REDIRECT)
		xsk_buff_free(xdp);
	else
		queue->seen.pool_received++;
	if (verdict == XDP_PASS)
		return skb;
	consume_skb(skb);
	return NULL;
}
