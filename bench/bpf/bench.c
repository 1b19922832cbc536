// SPDX-License-Identifier: GPL-2.0
/*
 * The smallest programs that end each way a program can end: what is measured is
 * the driver around them. They run on netkit and on tcx, whose verdicts are the
 * same numbers.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

/* The device that the redirects send to, set when the program is loaded. */
const volatile __u32 target;

SEC("classifier")
int next(struct __sk_buff *skb)
{
	return -1;
}

SEC("classifier")
int pass(struct __sk_buff *skb)
{
	return 0;
}

SEC("classifier")
int drop(struct __sk_buff *skb)
{
	return 2;
}

SEC("classifier")
int redirect(struct __sk_buff *skb)
{
	return bpf_redirect(target, 0);
}

SEC("classifier")
int redirect_peer(struct __sk_buff *skb)
{
	return bpf_redirect_peer(target, 0);
}

SEC("classifier")
int redirect_neigh(struct __sk_buff *skb)
{
	return bpf_redirect_neigh(target, NULL, 0, 0);
}

/* The two ends of Cilium's path; what is not IPv4 (ARP) is the host's own affair. */
SEC("classifier")
int to_pod(struct __sk_buff *skb)
{
	if (skb->protocol != bpf_htons(ETH_P_IP))
		return 0;
	return bpf_redirect_peer(target, 0);
}

SEC("classifier")
int from_pod(struct __sk_buff *skb)
{
	if (skb->protocol != bpf_htons(ETH_P_IP))
		return 0;
	return bpf_redirect_neigh(target, NULL, 0, 0);
}
