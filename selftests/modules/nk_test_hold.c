// SPDX-License-Identifier: GPL-2.0
/*
 * Holds somebody else's device, or keeps a namespace from dying, as a leaked reference would, and lets go of them again.
 *
 *   echo dummy0 >/sys/module/nk_test_hold/parameters/device
 *
 * takes a reference on a device of the writer's namespace: whoever deletes the device then waits in
 * netdev_wait_allrefs_any(), without RTNL. An empty line, or unloading, puts the reference.
 *
 *   echo 1 >/sys/module/nk_test_hold/parameters/dying
 *
 * From now on, cleanup_net() waits before it deletes a namespace's devices: the namespace is on no list any more, and
 * pernet_ops_rwsem is held for reading. "waits" tells how many namespaces wait; 0 lets them go.
 */
#include <linux/delay.h>
#include <linux/module.h>
#include <linux/netdevice.h>
#include <linux/nsproxy.h>
#include <linux/sched.h>
#include <linux/string.h>
#include <net/net_namespace.h>

static struct net_device *held;
static netdevice_tracker tracker;

static void let_go(void)
{
	if (held)
		netdev_put(held, &tracker);
	held = NULL;
}

/* One at a time: the parameters of a module have a lock. */
static int hold(const char *text, const struct kernel_param *param)
{
	char name[IFNAMSIZ];

	let_go();
	if (sysfs_streq(text, ""))
		return 0;
	if (sscanf(text, "%15s", name) != 1)
		return -EINVAL;
	held = netdev_get_by_name(current->nsproxy->net_ns, name, &tracker, GFP_KERNEL);
	return held ? 0 : -ENODEV;
}

static const struct kernel_param_ops hold_ops = { .set = hold };
module_param_cb(device, &hold_ops, NULL, 0200);

static bool dying;
module_param(dying, bool, 0600);

static unsigned int waits;
module_param(waits, uint, 0400);

static void __net_exit wait_before_devices_go(struct list_head *namespaces)
{
	struct net *net;

	if (!READ_ONCE(dying))
		return;
	list_for_each_entry(net, namespaces, exit_list)
		WRITE_ONCE(waits, READ_ONCE(waits) + 1);
	while (READ_ONCE(dying))
		msleep(10);
	WRITE_ONCE(waits, 0);
}

/* Registered last, it is the first to see a namespace go. */
static struct pernet_operations namespaces = { .exit_batch = wait_before_devices_go };

static int __init nk_test_hold_init(void)
{
	return register_pernet_device(&namespaces);
}
module_init(nk_test_hold_init);

static void __exit nk_test_hold_exit(void)
{
	let_go();
	unregister_pernet_device(&namespaces);
}
module_exit(nk_test_hold_exit);

MODULE_DESCRIPTION("holds devices and namespaces, for the tests of netkit_rs");
MODULE_LICENSE("GPL");
