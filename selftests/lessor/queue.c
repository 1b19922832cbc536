// SPDX-License-Identifier: GPL-2.0
/*
 * The memory of the receive queues. A queue has a page pool while the device is up. The stack replaces it
 * by one with provided memory, and back, through the queue management operations.
 */
#include <linux/dma-direct.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/tcp.h>
#include <net/netdev_queues.h>
#include <net/page_pool/helpers.h>

#include "lessor.h"

/* What the stack keeps for a queue that is being replaced. */
struct lessor_mem {
	struct page_pool *pages;
};

static struct page_pool *lessor_create_pages(struct net_device *dev, int index)
{
	const struct page_pool_params params = {
		.flags		= PP_FLAG_DMA_MAP | PP_FLAG_DMA_SYNC_DEV | PP_FLAG_ALLOW_UNREADABLE_NETMEM,
		.pool_size	= 256,
		.nid		= NUMA_NO_NODE,
		.dev		= dev->dev.parent,
		.dma_dir	= DMA_FROM_DEVICE,
		.max_len	= PAGE_SIZE,
		.netdev		= dev,
		.queue_idx	= index,
	};

	return page_pool_create(&params);
}

static struct page_pool *lessor_swap_pages(struct lessor_queue *queue, struct page_pool *pages)
{
	spin_lock_bh(&queue->lock);
	swap(queue->pages, pages);
	spin_unlock_bh(&queue->lock);
	return pages;
}

int lessor_open_queues(struct net_device *dev)
{
	u32 index;

	for (index = 0; index < dev->num_rx_queues; index++) {
		struct page_pool *pages = lessor_create_pages(dev, index);

		if (IS_ERR(pages)) {
			lessor_close_queues(dev);
			return PTR_ERR(pages);
		}
		lessor_swap_pages(&lessor_priv(dev)->queues[index], pages);
	}
	return 0;
}

void lessor_close_queues(struct net_device *dev)
{
	u32 index;

	for (index = 0; index < dev->num_rx_queues; index++)
		page_pool_destroy(lessor_swap_pages(&lessor_priv(dev)->queues[index], NULL));
}

static int lessor_mem_alloc(struct net_device *dev, struct netdev_queue_config *config, void *mem, int index)
{
	struct page_pool *pages = lessor_create_pages(dev, index);

	if (IS_ERR(pages))
		return PTR_ERR(pages);
	((struct lessor_mem *)mem)->pages = pages;
	return 0;
}

static void lessor_mem_free(struct net_device *dev, void *mem)
{
	page_pool_destroy(((struct lessor_mem *)mem)->pages);
}

static int lessor_queue_start(struct net_device *dev, struct netdev_queue_config *config, void *mem, int index)
{
	struct lessor_queue *queue = &lessor_priv(dev)->queues[index];

	lessor_swap_pages(queue, ((struct lessor_mem *)mem)->pages);
	spin_lock_bh(&queue->lock);
	queue->seen.restarts++;
	spin_unlock_bh(&queue->lock);
	return 0;
}

static int lessor_queue_stop(struct net_device *dev, void *mem, int index)
{
	((struct lessor_mem *)mem)->pages = lessor_swap_pages(&lessor_priv(dev)->queues[index], NULL);
	return 0;
}

const struct netdev_queue_mgmt_ops lessor_queue_mgmt_ops = {
	.ndo_queue_mem_size	= sizeof(struct lessor_mem),
	.ndo_queue_mem_alloc	= lessor_mem_alloc,
	.ndo_queue_mem_free	= lessor_mem_free,
	.ndo_queue_start	= lessor_queue_start,
	.ndo_queue_stop		= lessor_queue_stop,
};

bool lessor_has_provider(const struct lessor_queue *queue)
{
	return queue->pages && page_pool_is_unreadable(queue->pages);
}

/* Where the payload of TCP over IPv4 begins; 0 for any other frame, and for one without payload. */
static u32 lessor_tcp_payload(const struct sk_buff *skb)
{
	const struct ethhdr *eth = (void *)skb->data;
	const struct iphdr *ip = (void *)(eth + 1);
	u32 len = sizeof(*eth) + sizeof(*ip);

	if (skb->len < len || eth->h_proto != htons(ETH_P_IP) || ip->protocol != IPPROTO_TCP)
		return 0;
	len = sizeof(*eth) + ip->ihl * 4;
	if (skb->len < len + sizeof(struct tcphdr))
		return 0;
	len += ((struct tcphdr *)(skb->data + len))->doff * 4;
	return skb->len > len ? len : 0;
}

/*
 * What the DMA engine of a card does. The parent addresses all memory and there is no IOMMU, so that a bus
 * address tells the physical one.
 */
static void *lessor_dma_memory(struct net_device *dev, netmem_ref netmem)
{
	dma_addr_t addr = page_pool_get_dma_addr_netmem(netmem);

	return phys_to_virt(dma_to_phys(dev->dev.parent, addr));
}

/* The bytes of a packet that is sent. Those of its payload may be of a dmabuf, which the kernel does not read. */
int lessor_copy(struct net_device *dev, const struct sk_buff *skb, void *to)
{
	int n;

	if (skb_frags_readable(skb))
		return skb_copy_bits(skb, 0, to, skb->len);
	skb_copy_from_linear_data(skb, to, skb_headlen(skb));
	to += skb_headlen(skb);
	for (n = 0; n < skb_shinfo(skb)->nr_frags; n++) {
		const skb_frag_t *frag = &skb_shinfo(skb)->frags[n];
		const void *from = lessor_dma_memory(dev, skb_frag_netmem(frag));

		memcpy(to, from + skb_frag_off(frag), skb_frag_size(frag));
		to += skb_frag_size(frag);
	}
	return 0;
}

/*
 * Header split: the payload goes into provided memory, which the kernel does not read. NULL if there is none
 * left. Under the queue's lock.
 */
struct sk_buff *lessor_split(struct net_device *dev, struct lessor_queue *queue, struct sk_buff *skb)
{
	u32 at = lessor_tcp_payload(skb), len;
	struct sk_buff *split;
	int frag;

	if (!at)
		return skb;
	split = netdev_alloc_skb(dev, at);
	if (!split)
		goto drop;
	skb_mark_for_recycle(split);
	skb_put_data(split, skb->data, at);
	for (frag = 0; at < skb->len; frag++, at += len) {
		netmem_ref netmem = 0;

		if (frag < MAX_SKB_FRAGS)
			netmem = page_pool_alloc_netmems(queue->pages, GFP_ATOMIC | __GFP_NOWARN);
		if (!netmem)
			goto drop;
		len = min_t(u32, skb->len - at, PAGE_SIZE);
		memcpy(lessor_dma_memory(dev, netmem), skb->data + at, len);
		skb_add_rx_frag_netmem(split, frag, netmem, 0, len, PAGE_SIZE);
	}
	split->ip_summed = CHECKSUM_UNNECESSARY;
	queue->seen.provider_received++;
	consume_skb(skb);
	return split;
drop:
	kfree_skb(split);
	kfree_skb(skb);
	return NULL;
}
