// SPDX-License-Identifier: GPL-2.0
/*
 * One program that looks for the checksum of a whole packet which its receiver has
 * computed (CHECKSUM_COMPLETE).
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define NEXT -1

char LICENSE[] SEC("license") = "GPL";

struct sum {
	/* Or the helper's error if there is none. */
	__s64 last;
	__u64 count;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct sum);
} sums SEC(".maps");

SEC("classifier")
int sum(struct __sk_buff *skb)
{
	__u32 zero = 0;
	struct sum *seen = bpf_map_lookup_elem(&sums, &zero);

	if (!seen || skb->protocol != bpf_htons(ETH_P_IP))
		return NEXT;
	seen->last = bpf_csum_update(skb, 0);
	__sync_fetch_and_add(&seen->count, 1);
	return NEXT;
}
