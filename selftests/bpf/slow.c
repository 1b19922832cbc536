// SPDX-License-Identifier: GPL-2.0
/*
 * One program that takes its time over every IPv4 packet, and counts the runs that
 * have begun and those that have ended.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define NEXT -1
/* What bpf_loop() takes at most. */
#define ROUNDS (1 << 23)

char LICENSE[] SEC("license") = "GPL";

struct runs {
	__u64 nanoseconds;
	__u32 begun;
	__u32 ended;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct runs);
} runs SEC(".maps");

static long is_over(__u32 round, void *end)
{
	return bpf_ktime_get_ns() > *(__u64 *)end;
}

SEC("classifier")
int slow(struct __sk_buff *skb)
{
	__u32 zero = 0;
	struct runs *count = bpf_map_lookup_elem(&runs, &zero);
	__u64 end;

	if (!count || skb->protocol != bpf_htons(ETH_P_IP))
		return NEXT;
	end = bpf_ktime_get_ns() + count->nanoseconds;
	__sync_fetch_and_add(&count->begun, 1);
	bpf_loop(ROUNDS, is_over, &end, 0);
	__sync_fetch_and_add(&count->ended, 1);
	return NEXT;
}
