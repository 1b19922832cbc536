// SPDX-License-Identifier: GPL-2.0
/*
 * Another livepatch, to see how netkit_rs gets on with one.
 *
 * It replaces vfork(2) by one that always fails. A process that sleeps in vfork(2) keeps the patch's transition open
 * until its child goes: nothing but SIGKILL wakes it, not even the kernel's nudge after 15 seconds, which ends sleeps
 * like that of pause(2). With replace=1 the patch is a cumulative one, which takes the place of all patches before it.
 *
 * With function=NAME it replaces this xmit routine instead, of vmlinux or of the module object=NAME, by one that frees every
 * packet.
 */
#include <linux/livepatch.h>
#include <linux/module.h>
#include <linux/netdevice.h>
#include <linux/skbuff.h>

static bool replace;
module_param(replace, bool, 0444);
MODULE_PARM_DESC(replace, "be a cumulative patch");

static char *function;
module_param(function, charp, 0444);
MODULE_PARM_DESC(function, "the xmit routine to replace");

static char *object;
module_param(object, charp, 0444);
MODULE_PARM_DESC(object, "the module that has the xmit routine");

static netdev_tx_t xmit_frees(struct sk_buff *skb, struct net_device *dev)
{
	kfree_skb(skb);
	return NETDEV_TX_OK;
}

static asmlinkage long vfork_fails(const struct pt_regs *regs)
{
	return -EAGAIN;
}

static struct klp_func funcs[] = {
	{ .old_name = "__x64_sys_vfork", .new_func = vfork_fails },
	{ }
};

static struct klp_object objs[] = {
	{ .funcs = funcs }, /* vmlinux, as long as it has no name */
	{ }
};

static struct klp_patch patch = { .mod = THIS_MODULE, .objs = objs };

static int __init nk_test_livepatch_init(void)
{
	patch.replace = replace;
	if (function) {
		objs[0].name = object;
		funcs[0].old_name = function;
		funcs[0].new_func = xmit_frees;
	}
	return klp_enable_patch(&patch);
}
module_init(nk_test_livepatch_init);

static void __exit nk_test_livepatch_exit(void)
{
}
module_exit(nk_test_livepatch_exit);

MODULE_DESCRIPTION("a second livepatch, for the tests of netkit_rs");
MODULE_LICENSE("GPL");
MODULE_INFO(livepatch, "Y");
