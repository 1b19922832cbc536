// SPDX-License-Identifier: GPL-2.0
/*
 * One program that looks for the IPsec state by which a packet for one destination
 * has come in (its security path).
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define NEXT -1

char LICENSE[] SEC("license") = "GPL";

struct secpath {
	/* IPv4 destination in network order. */
	__u32 daddr;
	__u32 count;
	/* What the helper has answered for the last packet. */
	__s32 answer;
	__u32 reqid;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct secpath);
} secpaths SEC(".maps");

SEC("classifier")
int secpath(struct __sk_buff *skb)
{
	__u32 zero = 0;
	struct secpath *seen = bpf_map_lookup_elem(&secpaths, &zero);
	struct bpf_xfrm_state state = {};
	struct iphdr ip;

	if (!seen || skb->protocol != bpf_htons(ETH_P_IP))
		return NEXT;
	if (bpf_skb_load_bytes(skb, ETH_HLEN, &ip, sizeof(ip)) || ip.daddr != seen->daddr)
		return NEXT;
	seen->answer = bpf_skb_get_xfrm_state(skb, 0, &state, sizeof(state), 0);
	seen->reqid = state.reqid;
	seen->count++;
	return NEXT;
}
