// SPDX-License-Identifier: GPL-2.0
/*
 * Another livepatch, to see how netkit_rs gets on with one.
 *
 * It replaces vfork(2) by one that always fails. A process that sleeps in vfork(2) keeps the patch's transition open
 * until its child goes: nothing but SIGKILL wakes it, not even the kernel's nudge after 15 seconds, which ends sleeps
 * like that of pause(2). With replace=1 the patch is a cumulative one, which takes the place of all patches before it.
 */
#include <linux/livepatch.h>
#include <linux/module.h>

static bool replace;
module_param(replace, bool, 0444);
MODULE_PARM_DESC(replace, "be a cumulative patch");

static asmlinkage long vfork_fails(const struct pt_regs *regs)
{
	return -EAGAIN;
}

static struct klp_func funcs[] = {
	{ .old_name = "__x64_sys_vfork", .new_func = vfork_fails },
	{ }
};

static struct klp_object objs[] = {
	{ .funcs = funcs }, /* no name: vmlinux */
	{ }
};

static struct klp_patch patch = { .mod = THIS_MODULE, .objs = objs };

static int __init nk_test_livepatch_init(void)
{
	patch.replace = replace;
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
