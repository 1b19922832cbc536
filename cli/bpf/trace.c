// SPDX-License-Identifier: GPL-2.0
/*
 * What happens to each packet between the call of a netkit driver's xmit routine and its return, for `netkit-rs trace`.
 *
 * xmit_begins() notes the packet, for the task on its CPU. What the kernel's tracepoints say of this packet until
 * xmit_ends() is written down: freed (and why), received by a device, redirected. A redirected packet may be sent by another
 * netkit device within: then there are several packets at once, the last of which is the one that is looked at.
 */
#define __TARGET_ARCH_x86
#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "trace.h"

char LICENSE[] SEC("license") = "GPL";

#define KERNEL __attribute__((preserve_access_index))

struct ns_common {
	unsigned int inum;
} KERNEL;

struct net {
	struct ns_common ns;
} KERNEL;

typedef struct {
	struct net *net;
} KERNEL possible_net_t;

struct net_device {
	char name[NAME];
	int ifindex;
	possible_net_t nd_net;
} KERNEL;

struct sk_buff {
	struct net_device *dev;
	unsigned int len;
	__u32 mark;
	__u16 protocol;
	__u16 network_header;
	unsigned char *head;
} KERNEL;

/* Whether only some devices are looked at. */
const volatile __u32 filtered;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, struct { __u32 netns; __u32 ifindex; });
	__type(value, __u8);
} wanted SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} events SEC(".maps");

/* How many packets are not shown: there was no room, or too many were nested. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} lost SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct packets);
} empty SEC(".maps");

/* The packets that this task sends on this CPU, also if it has sent none so far. */
static struct packets *here_from_now_on(void)
{
	struct packets *packets = here();
	struct place place = place_of_this_task();
	__u32 zero = 0;
	void *none;

	if (packets)
		return packets;
	none = bpf_map_lookup_elem(&empty, &zero);
	if (!none)
		return 0;
	bpf_map_update_elem(&running, &place, none, BPF_ANY);
	return here();
}

static void describe(struct device *to, struct net_device *dev)
{
	to->netns = BPF_CORE_READ(dev, nd_net.net, ns.inum);
	to->ifindex = BPF_CORE_READ(dev, ifindex);
	BPF_CORE_READ_STR_INTO(&to->name, dev, name);
}

/* Addresses and ports, as far as the packet has them. */
static void headers(struct event *event, struct sk_buff *skb)
{
	void *ip = BPF_CORE_READ(skb, head) + BPF_CORE_READ(skb, network_header);
	__u16 fragment = 0;
	__u32 length = 0;
	__u8 first = 0;

	event->protocol = __builtin_bswap16(BPF_CORE_READ(skb, protocol));
	if (event->protocol == 0x0800) {
		bpf_probe_read_kernel(&first, 1, ip);
		length = (first & 15) * 4;
		bpf_probe_read_kernel(&fragment, 2, ip + 6);
		bpf_probe_read_kernel(&event->transport, 1, ip + 9);
		bpf_probe_read_kernel(event->source, 4, ip + 12);
		bpf_probe_read_kernel(event->destination, 4, ip + 16);
	} else if (event->protocol == 0x86dd) {
		length = 40;
		bpf_probe_read_kernel(&event->transport, 1, ip + 6);
		bpf_probe_read_kernel(event->source, 16, ip + 8);
		bpf_probe_read_kernel(event->destination, 16, ip + 24);
	}
	if (__builtin_bswap16(fragment) & 0x1fff) {
		event->flags |= NO_PORTS;
		return;
	}
	/* TCP and UDP, and no extension headers in between. */
	if (event->transport == 6 || event->transport == 17) {
		bpf_probe_read_kernel(&event->source_port, 2, ip + length);
		bpf_probe_read_kernel(&event->destination_port, 2, ip + length + 2);
		event->source_port = __builtin_bswap16(event->source_port);
		event->destination_port = __builtin_bswap16(event->destination_port);
	}
}

static void lose_one(void)
{
	__u32 zero = 0;
	__u64 *count = bpf_map_lookup_elem(&lost, &zero);

	if (count)
		__sync_fetch_and_add(count, 1);
}

/* Forgets calls that have returned without xmit_ends(): those that are not further up on this stack. */
static void unwind(struct packets *packets, __u64 stack)
{
	__u64 level, above;

	for (level = 0; level < NESTED; level++) {
		if (level >= packets->depth)
			return;
		above = packets->stack[level] - stack;
		if (above && above < STACK)
			continue;
		if (packets->at[level].skb)
			lose_one();
		packets->depth = level;
		return;
	}
}

SEC("kprobe")
int BPF_KPROBE(xmit_begins, struct sk_buff *skb, struct net_device *dev)
{
	struct packets *packets = here_from_now_on();
	struct event *event;
	__u64 depth;

	if (!packets)
		return 0;
	unwind(packets, PT_REGS_SP(ctx));
	depth = packets->depth++;
	if (depth >= NESTED) {
		lose_one();
		return 0;
	}
	packets->stack[depth & (NESTED - 1)] = PT_REGS_SP(ctx);
	event = &packets->at[depth & (NESTED - 1)];
	__builtin_memset(event, 0, sizeof(*event));
	describe(&event->from, dev);
	if (filtered) {
		struct { __u32 netns; __u32 ifindex; } key = { event->from.netns, event->from.ifindex };

		/* Without the address, nothing matches it. */
		if (!bpf_map_lookup_elem(&wanted, &key))
			return 0;
	}
	event->skb = (__u64)skb;
	event->time = bpf_ktime_get_ns();
	event->cpu = bpf_get_smp_processor_id();
	event->len = BPF_CORE_READ(skb, len);
	event->mark = BPF_CORE_READ(skb, mark);
	headers(event, skb);
	return 0;
}

SEC("kretprobe")
int xmit_ends(void *ctx)
{
	struct packets *packets = here();
	struct event *event;

	if (!packets || !packets->depth)
		return 0;
	packets->depth--;
	if (packets->depth >= NESTED)
		return 0;
	event = &packets->at[packets->depth & (NESTED - 1)];
	if (!event->skb)
		return 0;
	if (bpf_ringbuf_output(&events, event, sizeof(*event), 0))
		lose_one();
	return 0;
}

SEC("raw_tracepoint/kfree_skb")
int freed(struct bpf_raw_tracepoint_args *ctx)
{
	struct event *event = current(ctx->args[0]);

	if (event) {
		if (event->verdict != REDIRECT)
			event->verdict = DROP;
		event->flags |= FREED;
		event->reason = ctx->args[2];
	}
	return 0;
}

SEC("raw_tracepoint/netif_rx")
int received(struct bpf_raw_tracepoint_args *ctx)
{
	struct sk_buff *skb = (struct sk_buff *)ctx->args[0];
	struct event *event = current((__u64)skb);

	if (!event)
		return 0;
	if (event->verdict == UNKNOWN)
		event->verdict = PASS;
	/* After a redirect: the device that sends it, not the other end of its wire. */
	if (event->verdict != REDIRECT || !event->to.ifindex)
		describe(&event->to, BPF_CORE_READ(skb, dev));
	return 0;
}

SEC("kprobe")
int BPF_KPROBE(redirected, struct sk_buff *skb)
{
	struct event *event = current((__u64)skb);

	if (event)
		event->verdict = REDIRECT;
	return 0;
}

SEC("raw_tracepoint/net_dev_queue")
int queued(struct bpf_raw_tracepoint_args *ctx)
{
	struct sk_buff *skb = (struct sk_buff *)ctx->args[0];
	struct event *event = current((__u64)skb);

	if (event && event->verdict == REDIRECT)
		describe(&event->to, BPF_CORE_READ(skb, dev));
	return 0;
}
