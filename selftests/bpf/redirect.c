// SPDX-License-Identifier: GPL-2.0
/*
 * One program that sends every packet of one IP destination elsewhere, in the
 * way the test asks for: the four redirect helpers which netkit's users call.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define NEXT -1
#define DROP 2

enum way {
	WAY_EGRESS,
	WAY_INGRESS,
	WAY_PEER,
	WAY_NEIGH,
	WAY_CLONE,
};

char LICENSE[] SEC("license") = "GPL";

struct target {
	__u32 way;
	__u32 ifindex;
	/* IPv4 destination in network order. */
	__u32 daddr;
	/* Whether the destination MAC address is to be set, and to what. */
	__u32 set_dmac;
	__u8 dmac[8];
	__u64 count;
	__s64 last;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct target);
} target SEC(".maps");

SEC("classifier")
int redirect(struct __sk_buff *skb)
{
	__u32 zero = 0;
	struct target *to = bpf_map_lookup_elem(&target, &zero);
	struct iphdr ip;
	long ret;

	if (!to || skb->protocol != bpf_htons(ETH_P_IP))
		return NEXT;
	if (bpf_skb_load_bytes(skb, ETH_HLEN, &ip, sizeof(ip)))
		return DROP;
	if (ip.daddr != to->daddr)
		return NEXT;
	if (to->set_dmac && bpf_skb_store_bytes(skb, 0, to->dmac, ETH_ALEN, 0))
		return DROP;

	switch (to->way) {
	case WAY_EGRESS:
		ret = bpf_redirect(to->ifindex, 0);
		break;
	case WAY_INGRESS:
		ret = bpf_redirect(to->ifindex, BPF_F_INGRESS);
		break;
	case WAY_PEER:
		ret = bpf_redirect_peer(to->ifindex, 0);
		break;
	case WAY_NEIGH:
		ret = bpf_redirect_neigh(to->ifindex, NULL, 0, 0);
		break;
	case WAY_CLONE:
		ret = bpf_clone_redirect(skb, to->ifindex, 0);
		to->last = ret;
		__sync_fetch_and_add(&to->count, 1);
		return NEXT;
	default:
		return DROP;
	}
	to->last = ret;
	__sync_fetch_and_add(&to->count, 1);
	return ret;
}
