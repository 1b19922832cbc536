/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The packets that netkit's xmit routines have at this moment, for trace.c and verdict.c.
 */
#define NESTED 8
/* The size of the largest stack: that of a kernel with KASAN. */
#define STACK 65536
#define NAME 16
#define PROGRAMS 8

enum verdict { UNKNOWN, PASS, DROP, REDIRECT };

/* Freed after a redirect has succeeded or failed; and a packet whose ports cannot be read, a later fragment. */
#define FREED 1
#define NO_PORTS 2

struct device {
	__u32 netns;
	__u32 ifindex;
	char name[NAME];
};

/* A program that has run, and what it returned. */
struct ran {
	__u32 program;
	__s32 verdict;
};

/* `Raw` in src/trace/event.rs. */
struct event {
	__u64 time;
	__u64 skb;
	struct device from;
	struct device to;
	__u32 len;
	__u32 mark;
	__u32 cpu;
	__u32 reason;
	__u32 verdict;
	__u16 protocol;
	__u16 source_port;
	__u16 destination_port;
	__u8 transport;
	__u8 flags;
	__u8 source[16];
	__u8 destination[16];
	__u32 count;
	struct ran programs[PROGRAMS];
};

/* The stack pointer of each call tells whether it has returned unseen: kretprobes have a limited number of instances. */
struct packets {
	__u64 depth;
	__u64 stack[NESTED];
	struct event at[NESTED];
};

/* The idle task is on every CPU. */
struct place {
	__u32 task;
	__u32 cpu;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct place);
	__type(value, struct packets);
} running SEC(".maps");

static __always_inline struct place place_of_this_task(void)
{
	struct place place = { (__u32)bpf_get_current_pid_tgid(), bpf_get_smp_processor_id() };

	return place;
}

static __always_inline struct packets *here(void)
{
	struct place place = place_of_this_task();

	return bpf_map_lookup_elem(&running, &place);
}

/* The packet that is sent at this moment, if it is this one. */
static __always_inline struct event *current(__u64 skb)
{
	struct packets *packets = here();
	struct event *event;
	__u64 depth;

	if (!packets)
		return 0;
	depth = packets->depth;
	if (!depth || depth > NESTED)
		return 0;
	event = &packets->at[(depth - 1) & (NESTED - 1)];
	return event->skb == skb ? event : 0;
}
