// SPDX-License-Identifier: GPL-2.0
/*
 * A KUnit suite with one case that fails, which the lab has to notice.
 */

#include <kunit/test.h>
#include <linux/module.h>

static void passes(struct kunit *test)
{
	KUNIT_EXPECT_EQ(test, 1 + 1, 2);
}

static void fails(struct kunit *test)
{
	KUNIT_EXPECT_EQ(test, 1 + 1, 3);
}

static void is_skipped(struct kunit *test)
{
	kunit_skip(test, "as it was told to");
}

static struct kunit_case red_cases[] = {
	KUNIT_CASE(passes),
	KUNIT_CASE(fails),
	KUNIT_CASE(is_skipped),
	{}
};

static struct kunit_suite red_suite = {
	.name = "red",
	.test_cases = red_cases,
};

kunit_test_suite(red_suite);

MODULE_DESCRIPTION("A KUnit suite that fails");
MODULE_LICENSE("GPL");
