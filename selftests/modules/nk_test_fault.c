// SPDX-License-Identifier: GPL-2.0
/*
 * Makes a kernel function fail, once, for one thread: the step of an operation that is to be tried.
 *
 *   echo "register_netdevice 1 -12" >/sys/module/nk_test_fault/parameters/arm
 *
 * and of the calls that the writing thread makes to register_netdevice() the second one (one is let through) does nothing
 * and answers -12. "fired" tells how many were made to fail since then: none or one. An empty line disarms. With a '*' before the
 * name, the calls of all threads count.
 *
 * The function has to be one that ftrace can reach, so that the probe sits where a call arrives: there, going on in
 * a function that only returns a value is the same as if the caller had called that.
 *
 *   echo 5000 >/sys/module/nk_test_fault/parameters/hold_rtnl
 *
 * holds RTNL for that many milliseconds: whoever wants it sleeps meanwhile.
 */
#include <linux/delay.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/rtnetlink.h>
#include <linux/sched.h>
#include <linux/string.h>

static char function[KSYM_NAME_LEN];
static struct task_struct *thread; /* compared, never looked into; NULL: any */
static unsigned int let_through;
static long answer;
static unsigned int fired;
module_param(fired, uint, 0444);

static noinline long fail(void)
{
	return READ_ONCE(answer);
}
NOKPROBE_SYMBOL(fail);

static int before(struct kprobe *probe, struct pt_regs *regs)
{
	if ((thread && current != thread) || fired)
		return 0;
	if (let_through) {
		let_through--;
		return 0;
	}
	fired = 1;
	regs->ip = (unsigned long)fail;
	return 1;
}
NOKPROBE_SYMBOL(before);

static struct kprobe probe;
static bool armed;

static void disarm(void)
{
	if (armed)
		unregister_kprobe(&probe);
	armed = false;
}

/* One at a time: the parameters of a module have a lock. */
static int arm(const char *text, const struct kernel_param *param)
{
	int err;

	disarm();
	if (sysfs_streq(text, ""))
		return 0;
	if (sscanf(text, "%511s %u %ld", function, &let_through, &answer) != 3)
		return -EINVAL;
	fired = 0;
	thread = function[0] == '*' ? NULL : current;
	probe = (struct kprobe){ .symbol_name = function + !thread, .pre_handler = before };
	err = register_kprobe(&probe);
	if (err)
		return err;
	armed = true;
	if (kprobe_ftrace(&probe))
		return 0;
	disarm();
	return -EOPNOTSUPP;
}

static const struct kernel_param_ops arm_ops = { .set = arm };
module_param_cb(arm, &arm_ops, NULL, 0200);

static int hold_rtnl(const char *text, const struct kernel_param *param)
{
	unsigned int milliseconds;
	int err;

	err = kstrtouint(text, 10, &milliseconds);
	if (err)
		return err;
	if (milliseconds > 60000)
		return -ERANGE;
	rtnl_lock();
	msleep(milliseconds);
	rtnl_unlock();
	return 0;
}

static const struct kernel_param_ops hold_rtnl_ops = { .set = hold_rtnl };
module_param_cb(hold_rtnl, &hold_rtnl_ops, NULL, 0200);

static int __init nk_test_fault_init(void)
{
	return 0;
}
module_init(nk_test_fault_init);

static void __exit nk_test_fault_exit(void)
{
	disarm();
}
module_exit(nk_test_fault_exit);

MODULE_DESCRIPTION("makes kernel functions fail, for the tests of netkit_rs");
MODULE_LICENSE("GPL");
