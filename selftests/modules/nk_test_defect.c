// SPDX-License-Identifier: GPL-2.0
/*
 * Defects, to see that the debug kernel reports what it is trusted to report: scripts/test-debug loads this module
 * first and wants a complaint about each. None of them does harm.
 */
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>

static DEFINE_MUTEX(first);
static DEFINE_MUTEX(second);

/* kmemleak. */
static noinline void leak(void)
{
	void *lost = kmalloc(100, GFP_KERNEL);

	OPTIMIZER_HIDE_VAR(lost);
}

/* KASAN: one byte is read behind an object's end. */
static noinline int read_behind(void)
{
	char *object = kzalloc(13, GFP_KERNEL), *behind = object + 13, byte;

	if (!object)
		return -ENOMEM;
	OPTIMIZER_HIDE_VAR(behind);
	byte = READ_ONCE(*behind);
	kfree(object);
	return byte;
}

/* lockdep: two orders of two locks. */
static noinline void lock_in_two_orders(void)
{
	mutex_lock(&first);
	mutex_lock(&second);
	mutex_unlock(&second);
	mutex_unlock(&first);
	mutex_lock(&second);
	mutex_lock(&first);
	mutex_unlock(&first);
	mutex_unlock(&second);
}

/* DEBUG_ATOMIC_SLEEP. */
static noinline void sleep_under_rcu(void)
{
	rcu_read_lock();
	might_sleep();
	rcu_read_unlock();
}

static int __init nk_test_defect_init(void)
{
	int n;

	/* What a register or the stack still points to is no leak: of several, some are nowhere. */
	for (n = 0; n < 10; n++)
		leak();
	sleep_under_rcu();
	/* Locks are not watched any more after a report of KASAN's. */
	lock_in_two_orders();
	/* KFENCE takes an object now and then, which KASAN does not see then: of several, not all. */
	for (n = 0; n < 10; n++)
		read_behind();
	return 0;
}
module_init(nk_test_defect_init);

static void __exit nk_test_defect_exit(void)
{
}
module_exit(nk_test_defect_exit);

MODULE_DESCRIPTION("defects, for the tests of netkit_rs to find");
MODULE_LICENSE("GPL");
