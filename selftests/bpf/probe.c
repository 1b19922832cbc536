// SPDX-License-Identifier: GPL-2.0
/*
 * Eight programs alike, p0 to p7, for netkit and tcx: each writes down what it
 * sees of a packet and answers with the verdict that the test has put into its
 * rule. The number of calls taken from one clock gives the order of the programs.
 */
#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define SLOTS 8
#define NEXT -1

char LICENSE[] SEC("license") = "GPL";

struct rule {
	__s32 verdict;
	/* Ethernet protocol (host order) that the program looks at, 0 for all. */
	__u32 protocol;
	/* What to set on the packet before it goes on: 0 leaves it alone. */
	__u32 set_mark;
	__u32 set_type;
	/* The first of five numbers for skb->cb. */
	__u32 set_cb;
};

struct seen {
	__u64 count;
	__u64 order;
	__u32 len;
	__u32 linear;
	__u32 mark;
	__u32 priority;
	__u32 pkt_type;
	__u32 protocol;
	__u32 ifindex;
	__u32 ingress_ifindex;
	__u32 gso_size;
	__u32 gso_segs;
	__u64 tstamp;
	__u8 head[16];
	__u64 bytes;
	__u64 max_len;
	__u64 netns_cookie;
	__u64 socket_cookie;
	/* Address family of the packet's socket, 0 without one. */
	__u32 family;
	__u32 vlan_present;
	__u32 vlan_tci;
	__u32 cb[5];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SLOTS);
	__type(key, __u32);
	__type(value, struct rule);
} rules SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SLOTS);
	__type(key, __u32);
	__type(value, struct seen);
} seen SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} clock SEC(".maps");

static __always_inline int probe(struct __sk_buff *skb, __u32 slot)
{
	struct rule *rule = bpf_map_lookup_elem(&rules, &slot);
	struct seen *seen_slot = bpf_map_lookup_elem(&seen, &slot);
	__u32 zero = 0;
	__u64 *now = bpf_map_lookup_elem(&clock, &zero);
	struct bpf_sock *sk;

	if (!rule || !seen_slot || !now)
		return NEXT;
	if (rule->protocol && skb->protocol != bpf_htons(rule->protocol))
		return NEXT;

	seen_slot->order = __sync_fetch_and_add(now, 1) + 1;
	seen_slot->len = skb->len;
	seen_slot->linear = skb->data_end - skb->data;
	seen_slot->mark = skb->mark;
	seen_slot->priority = skb->priority;
	seen_slot->pkt_type = skb->pkt_type;
	seen_slot->protocol = bpf_ntohs(skb->protocol);
	seen_slot->ifindex = skb->ifindex;
	seen_slot->ingress_ifindex = skb->ingress_ifindex;
	seen_slot->gso_size = skb->gso_size;
	seen_slot->gso_segs = skb->gso_segs;
	seen_slot->tstamp = skb->tstamp;
	seen_slot->netns_cookie = bpf_get_netns_cookie(skb);
	seen_slot->socket_cookie = bpf_get_socket_cookie(skb);
	sk = skb->sk;
	seen_slot->family = sk ? sk->family : 0;
	seen_slot->vlan_present = skb->vlan_present;
	seen_slot->vlan_tci = skb->vlan_tci;
	seen_slot->cb[0] = skb->cb[0];
	seen_slot->cb[1] = skb->cb[1];
	seen_slot->cb[2] = skb->cb[2];
	seen_slot->cb[3] = skb->cb[3];
	seen_slot->cb[4] = skb->cb[4];
	bpf_skb_load_bytes(skb, 0, seen_slot->head, sizeof(seen_slot->head));
	__sync_fetch_and_add(&seen_slot->bytes, skb->len);
	if (skb->len > seen_slot->max_len)
		seen_slot->max_len = skb->len;
	__sync_fetch_and_add(&seen_slot->count, 1);

	if (rule->set_mark)
		skb->mark = rule->set_mark;
	if (rule->set_type)
		bpf_skb_change_type(skb, rule->set_type);
	if (rule->set_cb) {
		skb->cb[0] = rule->set_cb;
		skb->cb[1] = rule->set_cb + 1;
		skb->cb[2] = rule->set_cb + 2;
		skb->cb[3] = rule->set_cb + 3;
		skb->cb[4] = rule->set_cb + 4;
	}
	return rule->verdict;
}

#define PROBE(n)					\
	SEC("classifier")				\
	int p##n(struct __sk_buff *skb)			\
	{						\
		return probe(skb, n);			\
	}

PROBE(0)
PROBE(1)
PROBE(2)
PROBE(3)
PROBE(4)
PROBE(5)
PROBE(6)
PROBE(7)
