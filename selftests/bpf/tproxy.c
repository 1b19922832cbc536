// SPDX-License-Identifier: GPL-2.0
/*
 * A transparent proxy's program: it gives the first packet of every TCP connection
 * to port 80 to the proxy's socket, which listens at an address of its own.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/tcp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define NEXT -1
#define HTTP 80
/* Marked packets are for this machine, says a rule of routing. */
#define MARK 1

char LICENSE[] SEC("license") = "GPL";

struct proxy {
	/* The listening socket's address and port in network order. */
	__u32 addr;
	__u32 port;
	/* What bpf_sk_assign() has answered last. */
	__s32 assigned;
	__u32 packets;
	/* How often there was such a socket in the namespace of the packet. */
	__u32 found;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct proxy);
} proxy SEC(".maps");

SEC("classifier")
int tproxy(struct __sk_buff *skb)
{
	__u32 zero = 0;
	struct proxy *to = bpf_map_lookup_elem(&proxy, &zero);
	struct bpf_sock_tuple tuple = {};
	struct bpf_sock *sk;
	struct iphdr ip;
	struct tcphdr tcp;

	if (!to || skb->protocol != bpf_htons(ETH_P_IP))
		return NEXT;
	if (bpf_skb_load_bytes(skb, ETH_HLEN, &ip, sizeof(ip)) || ip.protocol != 6)
		return NEXT;
	if (bpf_skb_load_bytes(skb, ETH_HLEN + sizeof(ip), &tcp, sizeof(tcp)))
		return NEXT;
	if (tcp.dest != bpf_htons(HTTP))
		return NEXT;
	skb->mark = MARK;
	if (!tcp.syn || tcp.ack)
		return NEXT;

	to->packets++;
	tuple.ipv4.saddr = ip.saddr;
	tuple.ipv4.sport = tcp.source;
	tuple.ipv4.daddr = to->addr;
	tuple.ipv4.dport = to->port;
	sk = bpf_skc_lookup_tcp(skb, &tuple, sizeof(tuple.ipv4), BPF_F_CURRENT_NETNS, 0);
	if (!sk)
		return NEXT;
	to->found++;
	to->assigned = bpf_sk_assign(skb, sk, 0);
	bpf_sk_release(sk);
	return NEXT;
}
