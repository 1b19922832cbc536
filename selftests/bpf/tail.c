// SPDX-License-Identifier: GPL-2.0
/*
 * One program that calls another one (bpf_tail_call()), and returns its own
 * verdict where the call fails.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

struct run {
	__u64 count;
	/* How often the call has failed. */
	__u64 failed;
	__s32 verdict;
	/*
	 * Which program of `calls` is called. It is not a constant: for a
	 * constant the kernel rewrites the machine code of this program when
	 * `calls` changes, and QEMU without KVM may execute a breakpoint that
	 * is no longer there, if packets run the program at that moment.
	 */
	__u32 slot;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct run);
} runs SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} calls SEC(".maps");

SEC("classifier")
int tail(struct __sk_buff *skb)
{
	__u32 zero = 0;
	struct run *run = bpf_map_lookup_elem(&runs, &zero);

	if (!run)
		return -1;
	__sync_fetch_and_add(&run->count, 1);
	bpf_tail_call(skb, &calls, run->slot);
	__sync_fetch_and_add(&run->failed, 1);
	return run->verdict;
}
