// SPDX-License-Identifier: GPL-2.0
/*
 * What a BPF tracer sees of the xmit routine of a netkit driver: at its entry and at its end with typed arguments, and by
 * kprobes of several functions at once.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "GPL";

struct sk_buff {
	unsigned int len;
} __attribute__((preserve_access_index));

struct net_device {
	int ifindex;
	__u64 hw_enc_features;
	__u64 vlan_features;
	__u64 mpls_features;
} __attribute__((preserve_access_index));

/* `Seen` in src/tests/tracing.rs. */
struct seen {
	__u32 count;
	__u32 len;
	__u32 ifindex;
	__s32 result;
	/* For packets in tunnels, and for VLAN and MPLS above the device. */
	__u64 features[3];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 3);
	__type(key, __u32);
	__type(value, struct seen);
} seen SEC(".maps");

static struct seen *slot(__u32 number)
{
	struct seen *slot = bpf_map_lookup_elem(&seen, &number);

	if (slot)
		__sync_fetch_and_add(&slot->count, 1);
	return slot;
}

SEC("fentry")
int BPF_PROG(enter, struct sk_buff *skb, struct net_device *dev)
{
	struct seen *seen = slot(0);

	if (seen) {
		seen->len = skb->len;
		seen->ifindex = dev->ifindex;
		seen->features[0] = dev->hw_enc_features;
		seen->features[1] = dev->vlan_features;
		seen->features[2] = dev->mpls_features;
	}
	return 0;
}

SEC("fexit")
int BPF_PROG(leave, struct sk_buff *skb, struct net_device *dev, int result)
{
	struct seen *seen = slot(1);

	if (seen) {
		seen->ifindex = dev->ifindex;
		seen->result = result;
	}
	return 0;
}

SEC("kprobe.multi")
int multi(void *ctx)
{
	slot(2);
	return 0;
}
