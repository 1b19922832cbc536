// SPDX-License-Identifier: GPL-2.0
/*
 * Programs for the tests of the command and of netkit-aya: sections as libbpf
 * names them, several in one object, and one of a type that netkit does not take.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

SEC("netkit/primary")
int into_the_pod(struct __sk_buff *skb)
{
	return TCX_NEXT;
}

SEC("netkit/peer")
int out_of_the_pod(struct __sk_buff *skb)
{
	return TCX_DROP;
}

SEC("tc")
int one_of_two(struct __sk_buff *skb)
{
	return TCX_NEXT;
}

SEC("tc")
int two_of_two(struct __sk_buff *skb)
{
	return TCX_PASS;
}

SEC("xdp")
int of_another_type(struct xdp_md *ctx)
{
	return XDP_PASS;
}
