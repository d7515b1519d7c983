// SPDX-License-Identifier: GPL-2.0
/*
 * Does, when it is loaded, one thing that the lab has to notice: red.ko what=NAME.
 */

#include <linux/bug.h>
#include <linux/delay.h>
#include <linux/kernel.h>
#include <linux/list.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/panic.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/string.h>
#include <linux/vmalloc.h>

static char *what = "nothing";
module_param(what, charp, 0444);
MODULE_PARM_DESC(what, "what to do wrong");

static DEFINE_MUTEX(first);
static DEFINE_MUTEX(second);
static int __rcu *protected;

static noinline int warn(void)
{
	WARN(1, "red: as it was told to\n");
	return 0;
}

static noinline int oops(void)
{
	WRITE_ONCE(*(int *)8, 0);
	return 0;
}

static noinline int die(void)
{
	panic("red: as it was told to");
}

/* An order of locks that could deadlock, though it does not now. */
static noinline int lockdep(void)
{
	mutex_lock(&first);
	mutex_lock(&second);
	mutex_unlock(&second);
	mutex_unlock(&first);

	mutex_lock(&second);
	mutex_lock(&first);
	mutex_unlock(&first);
	mutex_unlock(&second);
	return 0;
}

static noinline int sleep_in_atomic(void)
{
	preempt_disable();
	usleep_range(1000, 2000);
	preempt_enable();
	return 0;
}

static noinline int use_after_free(void)
{
	char *memory = kmalloc(64, GFP_KERNEL);
	int byte;

	if (!memory)
		return -ENOMEM;
	kfree(memory);
	byte = READ_ONCE(memory[8]);
	return byte == 1 ? -EIO : 0;
}

/* Beyond what was asked for, but in the same page: the processor has nothing against it. */
static noinline int beyond_vmalloc(void)
{
	char *memory = vmalloc(100);
	int byte;

	if (!memory)
		return -ENOMEM;
	byte = READ_ONCE(memory[104]);
	vfree(memory);
	return byte == 1 ? -EIO : 0;
}

/* What RCU protects, read outside of a read-side critical section. */
static noinline int rcu(void)
{
	return rcu_dereference(protected) ? -EIO : 0;
}

static noinline int leak(void)
{
	int i;

	/* Several, since a stale register or stack slot may keep one alive. */
	for (i = 0; i < 8; i++)
		if (!kmalloc(193, GFP_KERNEL))
			return -ENOMEM;
	return 0;
}

/* Never unloaded: it holds itself. */
static noinline int stay(void)
{
	__module_get(THIS_MODULE);
	return 0;
}

/* insmod never comes back. */
static noinline int hang(void)
{
	for (;;)
		schedule_timeout_uninterruptible(MAX_SCHEDULE_TIMEOUT);
}

static noinline int refuse(void)
{
	return -EINVAL;
}

static const struct {
	const char *name;
	int (*run)(void);
} deeds[] = {
	{ "warn", warn },
	{ "oops", oops },
	{ "panic", die },
	{ "lockdep", lockdep },
	{ "sleep", sleep_in_atomic },
	{ "use-after-free", use_after_free },
	{ "beyond-vmalloc", beyond_vmalloc },
	{ "rcu", rcu },
	{ "leak", leak },
	{ "stay", stay },
	{ "hang", hang },
	{ "refuse", refuse },
};

static int __init red_init(void)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(deeds); i++)
		if (!strcmp(what, deeds[i].name))
			return deeds[i].run();
	return strcmp(what, "nothing") ? -ENOENT : 0;
}

static void __exit red_exit(void)
{
}

module_init(red_init);
module_exit(red_exit);

MODULE_DESCRIPTION("Does what the lab has to notice");
MODULE_LICENSE("GPL");
