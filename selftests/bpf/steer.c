// SPDX-License-Identifier: GPL-2.0
/*
 * One program that does to every packet, whatever it is, what the test has asked
 * for: a verdict of any number, a redirect by one of the helpers, or a look at the
 * routes of the device that the packet is at.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

enum way {
	WAY_VERDICT,
	WAY_EGRESS,
	WAY_INGRESS,
	WAY_PEER,
	WAY_NEIGH,
	WAY_CLONE,
	WAY_FIB,
	WAY_EGRESS_THEN_CLONE,
};

char LICENSE[] SEC("license") = "GPL";

struct order {
	__u32 way;
	__u32 ifindex;
	__s32 verdict;
	__u32 count;
	/* Of bpf_redirect_peer() or bpf_fib_lookup(). */
	__u32 flags;
	/* The device of a second redirect. */
	__u32 other;
	/* IPv4 address in network order, and the device of the route to it. */
	__u32 daddr;
	__u32 found;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct order);
} order SEC(".maps");

SEC("classifier")
int steer(struct __sk_buff *skb)
{
	__u32 zero = 0;
	struct order *to = bpf_map_lookup_elem(&order, &zero);

	if (!to)
		return -1;
	to->count++;
	switch (to->way) {
	case WAY_EGRESS:
		return bpf_redirect(to->ifindex, 0);
	case WAY_INGRESS:
		return bpf_redirect(to->ifindex, BPF_F_INGRESS);
	case WAY_PEER:
		return bpf_redirect_peer(to->ifindex, to->flags);
	case WAY_NEIGH:
		return bpf_redirect_neigh(to->ifindex, NULL, 0, 0);
	case WAY_CLONE:
		return bpf_clone_redirect(skb, to->ifindex, 0);
	case WAY_FIB: {
		struct bpf_fib_lookup route = {
			.family = 2,
			.ifindex = skb->ifindex,
			.ipv4_dst = to->daddr,
		};

		to->verdict = bpf_fib_lookup(skb, &route, sizeof(route), to->flags);
		to->found = route.ifindex;
		return -1;
	}
	case WAY_EGRESS_THEN_CLONE: {
		int ret = bpf_redirect(to->ifindex, 0);

		to->verdict = bpf_clone_redirect(skb, to->other, 0);
		return ret;
	}
	}
	return to->verdict;
}
