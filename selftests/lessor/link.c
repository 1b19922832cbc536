// SPDX-License-Identifier: GPL-2.0
/*
 * Lessors over rtnetlink: created, changed, shown, deleted. A lessor that is created with the index of
 * another one as its IFLA_LINK gets a cable to that.
 */
#include <linux/etherdevice.h>
#include <linux/module.h>
#include <linux/platform_device.h>
#include <net/netlink.h>
#include <net/page_pool/helpers.h>
#include <net/rtnetlink.h>
#include <net/xdp_sock_drv.h>

#include "lessor.h"

#define KIND "nk_lessor"

/* Every lessor's parent, for which its memory is mapped. */
static struct platform_device *lessor_bus;

static const struct nla_policy lessor_policy[LESSOR_MAX + 1] = {
	[LESSOR_LACKS]	= { .type = NLA_U32 },
	[LESSOR_ERROR]	= NLA_POLICY_MAX(NLA_U32, MAX_ERRNO),
	[LESSOR_STEER]	= { .type = NLA_U32 },
	[LESSOR_QUEUE]	= { .type = NLA_REJECT },
};

static int lessor_changelink(struct net_device *dev, struct nlattr *tb[], struct nlattr *data[],
			     struct netlink_ext_ack *extack)
{
	struct lessor *lessor = lessor_priv(dev);

	if (!data)
		return 0;
	if (data[LESSOR_STEER]) {
		u32 steer = nla_get_u32(data[LESSOR_STEER]);

		if (steer >= dev->num_rx_queues)
			return -ERANGE;
		WRITE_ONCE(lessor->steer, steer);
	}
	if (data[LESSOR_ERROR])
		WRITE_ONCE(lessor->error, nla_get_u32(data[LESSOR_ERROR]));
	return 0;
}

/* The other end of the cable; NULL if none is asked for. */
static struct net_device *lessor_far_end(struct rtnl_newlink_params *params)
{
	struct net_device *far;

	if (!params->tb[IFLA_LINK])
		return NULL;
	far = __dev_get_by_index(rtnl_newlink_link_net(params), nla_get_u32(params->tb[IFLA_LINK]));
	if (!far)
		return ERR_PTR(-ENODEV);
	if (!far->rtnl_link_ops || strcmp(far->rtnl_link_ops->kind, KIND))
		return ERR_PTR(-EINVAL);
	return rtnl_dereference(lessor_priv(far)->far) ? ERR_PTR(-EBUSY) : far;
}

static int lessor_newlink(struct net_device *dev, struct rtnl_newlink_params *params,
			  struct netlink_ext_ack *extack)
{
	struct net_device *far = lessor_far_end(params);
	struct lessor *lessor = lessor_priv(dev);
	int err;

	if (IS_ERR(far))
		return PTR_ERR(far);
	err = lessor_changelink(dev, params->tb, params->data, extack);
	if (err)
		return err;
	if (params->data && params->data[LESSOR_LACKS])
		lessor->lacks = nla_get_u32(params->data[LESSOR_LACKS]);

	lessor->ops = lessor_netdev_ops;
	if (lessor->lacks & LACKS_NDO_BPF)
		lessor->ops.ndo_bpf = NULL;
	if (lessor->lacks & LACKS_NDO_XDP_XMIT)
		lessor->ops.ndo_xdp_xmit = NULL;
	if (lessor->lacks & LACKS_NDO_XSK_WAKEUP)
		lessor->ops.ndo_xsk_wakeup = NULL;
	dev->netdev_ops = &lessor->ops;
	dev->xdp_features = NETDEV_XDP_ACT_BASIC | NETDEV_XDP_ACT_REDIRECT;
	if (!(lessor->lacks & LACKS_ZC_FEATURE))
		dev->xdp_features |= NETDEV_XDP_ACT_XSK_ZEROCOPY;
	if (!(lessor->lacks & LACKS_NETMEM_TX)) {
		/* The stack can neither copy nor sum up what it does not read. */
		dev->hw_features = NETIF_F_SG | NETIF_F_HW_CSUM;
		dev->features |= dev->hw_features;
		dev->netmem_tx = NETMEM_TX_DMA;
	}

	if (!params->tb[IFLA_ADDRESS])
		eth_hw_addr_random(dev);
	SET_NETDEV_DEV(dev, &lessor_bus->dev);
	err = register_netdevice(dev);
	if (err)
		return err;
	if (far) {
		rcu_assign_pointer(lessor->far, far);
		rcu_assign_pointer(lessor_priv(far)->far, dev);
	}
	return 0;
}

static size_t lessor_get_size(const struct net_device *dev)
{
	return 3 * nla_total_size(sizeof(u32)) +
	       dev->num_rx_queues * nla_total_size(sizeof(struct lessor_seen));
}

static int lessor_fill_info(struct sk_buff *msg, const struct net_device *dev)
{
	struct lessor *lessor = lessor_priv(dev);
	u32 index;

	if (nla_put_u32(msg, LESSOR_LACKS, lessor->lacks) ||
	    nla_put_u32(msg, LESSOR_ERROR, lessor->error) ||
	    nla_put_u32(msg, LESSOR_STEER, lessor->steer))
		return -EMSGSIZE;
	for (index = 0; index < dev->num_rx_queues; index++) {
		struct lessor_queue *queue = &lessor->queues[index];
		struct lessor_seen seen;

		spin_lock_bh(&queue->lock);
		seen = queue->seen;
		seen.has_pool = !!queue->pool;
		seen.has_provider = lessor_has_provider(queue);
		spin_unlock_bh(&queue->lock);
		if (nla_put(msg, LESSOR_QUEUE, sizeof(seen), &seen))
			return -EMSGSIZE;
	}
	return 0;
}

static struct rtnl_link_ops lessor_link_ops = {
	.kind		= KIND,
	.priv_size	= sizeof(struct lessor),
	.maxtype	= LESSOR_MAX,
	.policy		= lessor_policy,
	.setup		= lessor_setup,
	.newlink	= lessor_newlink,
	.changelink	= lessor_changelink,
	.get_size	= lessor_get_size,
	.fill_info	= lessor_fill_info,
};

static int __init lessor_init(void)
{
	const struct platform_device_info info = {
		.name		= KIND,
		.id		= PLATFORM_DEVID_NONE,
		.dma_mask	= DMA_BIT_MASK(64),
	};
	int err;

	lessor_bus = platform_device_register_full(&info);
	if (IS_ERR(lessor_bus))
		return PTR_ERR(lessor_bus);
	err = rtnl_link_register(&lessor_link_ops);
	if (err)
		platform_device_unregister(lessor_bus);
	return err;
}

static void __exit lessor_exit(void)
{
	rtnl_link_unregister(&lessor_link_ops);
	platform_device_unregister(lessor_bus);
}

module_init(lessor_init);
module_exit(lessor_exit);

MODULE_DESCRIPTION("A device whose queues netkit leases, for the selftests of netkit_rs");
MODULE_LICENSE("GPL");
MODULE_ALIAS_RTNL_LINK(KIND);
