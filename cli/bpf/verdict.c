// SPDX-License-Identifier: GPL-2.0
/*
 * What one netkit program returned, for `netkit-rs trace`: attached to the end of that program, whose number is the cookie.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "trace.h"

char LICENSE[] SEC("license") = "GPL";

SEC("fexit")
int program_ends(void *ctx)
{
	__u64 skb, verdict;
	struct event *event;
	__u32 number;

	if (bpf_get_func_arg(ctx, 0, &skb) || bpf_get_func_ret(ctx, &verdict))
		return 0;
	event = current(skb);
	if (!event)
		return 0;
	number = event->count++;
	if (number < PROGRAMS) {
		event->programs[number & (PROGRAMS - 1)].program = bpf_get_attach_cookie(ctx);
		event->programs[number & (PROGRAMS - 1)].verdict = verdict;
	}
	return 0;
}
