// SPDX-License-Identifier: GPL-2.0
/*
 * The network device: its cable, and where what arrives goes.
 */
#include <linux/etherdevice.h>
#include <linux/ethtool.h>
#include <net/netdev_lock.h>
#include <net/netdev_queues.h>

#include "lessor.h"

/* Hands a frame of @dev's queue @index to the stack. */
void lessor_deliver(struct net_device *dev, u32 index, struct sk_buff *skb)
{
	skb->protocol = eth_type_trans(skb, dev);
	skb_record_rx_queue(skb, index);
	netif_rx(skb);
}

/* A frame, fresh and in one piece, comes out of the cable at @dev. With bottom halves off. */
static void lessor_arrive(struct net_device *dev, struct sk_buff *skb)
{
	struct lessor *lessor = lessor_priv(dev);
	u32 index = READ_ONCE(lessor->steer);
	struct lessor_queue *queue = &lessor->queues[index];

	if (!netif_running(dev)) {
		kfree_skb(skb);
		return;
	}
	spin_lock(&queue->lock);
	if (queue->pool)
		skb = lessor_xsk_receive(dev, queue, skb);
	else if (lessor_has_provider(queue))
		skb = lessor_split(dev, queue, skb);
	if (skb)
		queue->seen.stack_received++;
	spin_unlock(&queue->lock);
	if (skb)
		lessor_deliver(dev, index, skb);
}

/* Sends a frame that nobody else refers to through @dev's cable. With bottom halves off. */
void lessor_send(struct net_device *dev, struct sk_buff *skb)
{
	struct net_device *far;

	rcu_read_lock();
	far = rcu_dereference(lessor_priv(dev)->far);
	if (far)
		lessor_arrive(far, skb);
	else
		kfree_skb(skb);
	rcu_read_unlock();
}

/* What the stack leaves to the card (NETIF_F_HW_CSUM). */
static void lessor_checksum(const struct sk_buff *skb, struct sk_buff *frame)
{
	int start, len;
	__sum16 *sum;

	if (skb->ip_summed != CHECKSUM_PARTIAL)
		return;
	start = skb_checksum_start_offset(skb);
	len = frame->len - start;
	sum = (void *)frame->data + start + skb->csum_offset;
	*sum = csum_fold(csum_partial(frame->data + start, len, 0)) ?: CSUM_MANGLED_0;
}

/* As on a real cable, bytes get to the other end, and nothing that the kernel knows about them. */
static netdev_tx_t lessor_start_xmit(struct sk_buff *skb, struct net_device *dev)
{
	struct sk_buff *frame = netdev_alloc_skb(dev, skb->len);

	if (frame && !lessor_copy(dev, skb, skb_put(frame, skb->len))) {
		lessor_checksum(skb, frame);
		lessor_send(dev, frame);
		consume_skb(skb);
	} else {
		kfree_skb(frame);
		kfree_skb(skb);
	}
	return NETDEV_TX_OK;
}

/* netkit asks whether there is such an operation. XDP programs of the tests send nothing by it. */
static int lessor_xdp_xmit(struct net_device *dev, int count, struct xdp_frame **frames, u32 flags)
{
	return -EOPNOTSUPP;
}

static int lessor_open(struct net_device *dev)
{
	int err = lessor_open_queues(dev);

	if (!err)
		netif_carrier_on(dev);
	return err;
}

static int lessor_stop(struct net_device *dev)
{
	netif_carrier_off(dev);
	lessor_close_queues(dev);
	return 0;
}

static void lessor_free_queues(struct lessor *lessor, u32 count)
{
	while (count--)
		xdp_rxq_info_unreg(&lessor->queues[count].xdp_rxq);
	kvfree(lessor->queues);
	lessor->queues = NULL;
}

static int lessor_dev_init(struct net_device *dev)
{
	struct lessor *lessor = lessor_priv(dev);
	u32 index;

	/* Several lessors are locked at once when the module goes. */
	netdev_lockdep_set_classes(dev);
	lessor->queues = kvcalloc(dev->num_rx_queues, sizeof(*lessor->queues), GFP_KERNEL);
	if (!lessor->queues)
		return -ENOMEM;
	for (index = 0; index < dev->num_rx_queues; index++) {
		struct lessor_queue *queue = &lessor->queues[index];
		int err = xdp_rxq_info_reg(&queue->xdp_rxq, dev, index, 0);

		if (err) {
			lessor_free_queues(lessor, index);
			return err;
		}
		spin_lock_init(&queue->lock);
	}
	/* Headers and payload apart, always: memory is provided to none but such a device. */
	dev->cfg->hds_config = ETHTOOL_TCP_DATA_SPLIT_ENABLED;
	return 0;
}

/* Whoever still looks at the other end's pointer has gone before this device is freed. */
static void lessor_dev_uninit(struct net_device *dev)
{
	struct lessor *lessor = lessor_priv(dev);
	struct net_device *far = rtnl_dereference(lessor->far);

	if (far) {
		RCU_INIT_POINTER(lessor_priv(far)->far, NULL);
		RCU_INIT_POINTER(lessor->far, NULL);
	}
	synchronize_net();
	lessor_free_queues(lessor, dev->num_rx_queues);
}

const struct net_device_ops lessor_netdev_ops = {
	.ndo_init		= lessor_dev_init,
	.ndo_uninit		= lessor_dev_uninit,
	.ndo_open		= lessor_open,
	.ndo_stop		= lessor_stop,
	.ndo_start_xmit		= lessor_start_xmit,
	.ndo_validate_addr	= eth_validate_addr,
	.ndo_set_mac_address	= eth_mac_addr,
	.ndo_bpf		= lessor_bpf,
	.ndo_xdp_xmit		= lessor_xdp_xmit,
	.ndo_xsk_wakeup		= lessor_xsk_wakeup,
};

static void lessor_get_channels(struct net_device *dev, struct ethtool_channels *channels)
{
	channels->max_rx = dev->num_rx_queues;
	channels->rx_count = dev->real_num_rx_queues;
	channels->max_tx = dev->real_num_tx_queues;
	channels->tx_count = dev->real_num_tx_queues;
}

/* Under the instance lock, without RTNL: that is enough for receive channels, and they are what is let. */
static int lessor_set_channels(struct net_device *dev, struct ethtool_channels *channels)
{
	if (channels->tx_count != dev->real_num_tx_queues)
		return -EINVAL;
	return netif_set_real_num_rx_queues(dev, channels->rx_count);
}

static const struct ethtool_ops lessor_ethtool_ops = {
	.get_link	= ethtool_op_get_link,
	.get_channels	= lessor_get_channels,
	.set_channels	= lessor_set_channels,
};

void lessor_setup(struct net_device *dev)
{
	ether_setup(dev);
	dev->priv_flags &= ~IFF_TX_SKB_SHARING;
	dev->netdev_ops = &lessor_netdev_ops;
	dev->ethtool_ops = &lessor_ethtool_ops;
	dev->queue_mgmt_ops = &lessor_queue_mgmt_ops;
	dev->needs_free_netdev = true;
}
