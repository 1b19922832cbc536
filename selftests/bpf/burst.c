// SPDX-License-Identifier: GPL-2.0
/*
 * One program that sends many clones of its packet out of a device, and counts what
 * the device answers. Nothing is received meanwhile on the CPU that runs it: its
 * bottom halves are disabled.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define MOST 1024
#define NET_XMIT_SUCCESS 0
#define NET_XMIT_DROP 1

char LICENSE[] SEC("license") = "GPL";

struct burst {
	__u32 ifindex;
	__u32 clones;
	__u32 sent;
	__u32 dropped;
	/* The last answer that is neither. */
	__s64 other;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct burst);
} bursts SEC(".maps");

SEC("classifier")
int burst(struct __sk_buff *skb)
{
	__u32 zero = 0, number;
	struct burst *burst = bpf_map_lookup_elem(&bursts, &zero);
	long answer;

	if (!burst)
		return -1;
	for (number = 0; number < MOST && number < burst->clones; number++) {
		answer = bpf_clone_redirect(skb, burst->ifindex, 0);
		if (answer == NET_XMIT_SUCCESS)
			burst->sent++;
		else if (answer == NET_XMIT_DROP)
			burst->dropped++;
		else
			burst->other = answer;
	}
	return -1;
}
