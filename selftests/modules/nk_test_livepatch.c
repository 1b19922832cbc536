// SPDX-License-Identifier: GPL-2.0
/*
 * Another livepatch, to see how netkit_rs gets on with one.
 *
 * It replaces pause(2), by the same. A process that sleeps in pause(2) while the patch comes in or goes out keeps that
 * transition open, until it wakes up or the kernel wakes it (after 15 seconds). With replace=1 the patch is a
 * cumulative one, which takes the place of all patches before it.
 */
#include <linux/livepatch.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>

static bool replace;
module_param(replace, bool, 0444);
MODULE_PARM_DESC(replace, "be a cumulative patch");

static asmlinkage long pause_again(const struct pt_regs *regs)
{
	for (;;) {
		set_current_state(TASK_INTERRUPTIBLE);
		if (signal_pending(current))
			break;
		schedule();
	}
	__set_current_state(TASK_RUNNING);
	return -ERESTARTNOHAND;
}

static struct klp_func funcs[] = {
	{ .old_name = "__x64_sys_pause", .new_func = pause_again },
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
