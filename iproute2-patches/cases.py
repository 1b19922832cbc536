# SPDX-License-Identifier: GPL-2.0
"""The table: what is given to ip, and what must come of it. The same holds for both versions of iproute2 and both drivers.

A case begins in an empty network namespace. Each line of `do` is one call of ip, or, with `batch`, all of them are one
batch. Afterwards the netkit devices there are exactly `devices`, and `ip -d link show` shows of each just the options given
here, in this order, as text and as JSON. With `error` the last line (or the batch) is refused: with that text, word for word,
and with that exit status. Where the drivers differ, there are two cases of one name, each with its `driver`.
"""
from dataclasses import dataclass, field

# What is shown of either device of a pair that was created without any options.
PRIMARY = {"mode": "l3", "type": "primary", "policy": "forward", "peer_policy": "forward", "scrub": "default",
           "peer_scrub": "default", "headroom": 0, "tailroom": 0, "pairing": "pair"}
PEER = PRIMARY | {"type": "peer"}
SINGLE = {"mode": "l3", "type": "primary", "policy": "forward", "headroom": 0, "tailroom": 0, "pairing": "single"}
# What our driver shows of a primary on top of that.
AFTER = {"dev_switch": "after"}

USAGE = """\
Usage: ... netkit [ mode MODE ] [ POLICY ] [ scrub SCRUB ]
	[ headroom BYTES ] [ tailroom BYTES ] [ pairing PAIRING ]
	[ dev-switch WHEN ]
	[ peer [ POLICY ] [ scrub SCRUB ] [ <options> ] ]

MODE: l3 | l2
POLICY: forward | blackhole
SCRUB: default | none
BYTES: 0..65535
PAIRING: pair | single
WHEN: before | after
(first values are the defaults if nothing is specified)

To get <options> type 'ip link add help'."""

INCOMPLETE = 'Command line is not complete. Try option "help"'
MODES = 'Error: argument of "mode" must be either "l3" or "l2"'
SCRUBS = 'Error: scrub must be either "none" or "default"'
HEADROOM = 'Error: argument of "headroom" must be a number from 0 to 65535'
TAILROOM = 'Error: argument of "tailroom" must be a number from 0 to 65535'
PAIRINGS = 'Error: argument of "pairing" must be either "pair" or "single"'
SWITCHES = 'Error: argument of "dev-switch" must be either "before" or "after"'
NO_PEER = 'Error: a single netkit device has no peer: "%s" cannot be used with "pairing single"'
FIXED = "Error: netkit link %s cannot be changed after device creation."
ONLY_PRIMARY = "Error: netkit link settings can be changed only through the primary device."
NOT_SUPPORTED = "RTNETLINK answers: Operation not supported"

# ip's exit status when it refuses by itself, when it does so without returning to a batch (a value is missing, or an option is
# given twice), and when the kernel refuses.
BY_IP, AT_ONCE, BY_KERNEL = 1, 255, 2


@dataclass(frozen=True)
class Case:
    name: str
    do: str
    devices: dict = field(default_factory=dict)
    error: str = ""
    status: int = 0
    batch: str = ""
    links: dict = field(default_factory=dict)  # of a device: other things that `ip -j` shows
    output: str = ""  # what the last line prints, word for word
    # For the ip without our patches, of one series: what it is known to do wrong.
    unpatched: str = ""
    driver: str = ""  # "C" or "ours", if the case is not for both


def add_pair(options):
    """Creates nk0 and nk1. `peer name nk1` is added, unless the options speak of the peer's name themselves."""
    if " name " not in f" {options}":
        options += " name nk1" if "peer" in options.split() else " peer name nk1"
    return f"link add nk0 type netkit {options.strip()}"


def created(name, options, primary=None, peer=None, **more):
    """A pair with these options; in both places what differs from the defaults."""
    devices = {"nk0": PRIMARY | (primary or {}), "nk1": PEER | (peer or {})}
    return Case(f"add: {name}", add_pair(options), devices, **more)


def single(name, options, shown=None):
    return Case(f"single: {name}", f"link add nk0 type netkit {options}", {"nk0": SINGLE | (shown or {})})


def changed(name, options, primary, peer):
    return Case(f"set: {name}", f"link add nk0 type netkit peer name nk1\nlink set nk0 type netkit {options}",
                {"nk0": PRIMARY | primary, "nk1": PEER | peer})


def changed_by_ours(name, options, fixed, primary, peer, created_with="", before=None):
    """A change that our driver makes. C refuses it with a text that names `fixed`, and the pair still shows `before`."""
    name = f"set, by our driver: {name}"
    do = f"{add_pair(created_with)}\nlink set nk0 type netkit {options}"
    unchanged_devices = {"nk0": PRIMARY | (before or {}), "nk1": PEER | (before or {})}
    return [Case(name, do, unchanged_devices, FIXED % fixed, BY_KERNEL, driver="C"),
            Case(name, do, {"nk0": PRIMARY | primary, "nk1": PEER | peer}, driver="ours")]


def single_changed_by_ours(name, options, fixed, shown):
    name = f"set, by our driver: {name}"
    do = f"link add nk0 type netkit pairing single\nlink set nk0 type netkit {options}"
    return [Case(name, do, {"nk0": SINGLE}, FIXED % fixed, BY_KERNEL, driver="C"),
            Case(name, do, {"nk0": SINGLE | shown}, driver="ours")]


def switched_by_ours(name, do, primary=None, peer=None):
    """Ends with dev-switch after, which our driver shows. C ignores the attribute."""
    name = f"dev-switch: {name}"
    primary, peer = PRIMARY | (primary or {}), PEER | (peer or {})
    return [Case(name, do, {"nk0": primary, "nk1": peer}, driver="C"),
            Case(name, do, {"nk0": primary | AFTER, "nk1": peer}, driver="ours")]


def refused(name, options, error, status=BY_IP):
    """An attempt to create, which leaves nothing behind."""
    return Case(f"refused: {name}", f"link add nk0 type netkit {options}".strip(), {}, error, status)


def unchanged(name, options, error, of="nk0", status=BY_KERNEL):
    """An attempt to change an existing pair, which changes nothing."""
    return Case(f"set refused: {name}", f"link add nk0 type netkit peer name nk1\nlink set {of} type netkit {options}",
                {"nk0": PRIMARY, "nk1": PEER}, error, status)


def single_unchanged(name, options, error=NOT_SUPPORTED, status=BY_KERNEL):
    return Case(f"set refused: {name}", f"link add nk0 type netkit pairing single\nlink set nk0 type netkit {options}",
                {"nk0": SINGLE}, error, status)


CREATE = [
    # The peer is created first: the kernel calls it nk0.
    Case("add: no name at all", "link add type netkit", {"nk0": PEER, "nk1": PRIMARY}),
    created("names", ""),
    created("mode l2", "mode l2", {"mode": "l2"}, {"mode": "l2"}),
    created("mode l3", "mode l3"),
    created("mode after peer", "peer mode l2", {"mode": "l2"}, {"mode": "l2"}),
    created("forward", "forward"),
    created("blackhole", "blackhole", {"policy": "blackhole"}, {"peer_policy": "blackhole"}),
    created("peer blackhole", "peer blackhole", {"peer_policy": "blackhole"}, {"policy": "blackhole"}),
    created("forward, peer blackhole", "forward peer blackhole", {"peer_policy": "blackhole"}, {"policy": "blackhole"}),
    created("both blackhole", "blackhole peer blackhole", *2 * [{"policy": "blackhole", "peer_policy": "blackhole"}]),
    created("scrub default", "scrub default peer scrub default"),
    created("scrub none", "scrub none", {"scrub": "none"}, {"peer_scrub": "none"}),
    created("peer scrub none", "peer scrub none", {"peer_scrub": "none"}, {"scrub": "none"}),
    created("both scrub none", "scrub none peer scrub none", *2 * [{"scrub": "none", "peer_scrub": "none"}]),
    created("headroom", "headroom 64", *2 * [{"headroom": 64}]),
    created("tailroom", "tailroom 16", *2 * [{"tailroom": 16}]),
    created("headroom and tailroom", "tailroom 1 headroom 2", *2 * [{"headroom": 2, "tailroom": 1}]),
    created("no headroom, no tailroom", "headroom 0 tailroom 0"),
    created("the most headroom and tailroom", "headroom 65535 tailroom 65535", *2 * [{"headroom": 65535, "tailroom": 65535}]),
    created("headroom in hexadecimal", "headroom 0x20", *2 * [{"headroom": 32}]),
    created("headroom after peer", "peer headroom 8 blackhole", {"headroom": 8, "peer_policy": "blackhole"},
            {"headroom": 8, "policy": "blackhole"}),
    created("pairing pair", "pairing pair"),
    created("pairing pair with all that single lacks", "pairing pair blackhole scrub none peer scrub none",
            {"policy": "blackhole", "scrub": "none", "peer_scrub": "none"},
            {"peer_policy": "blackhole", "scrub": "none", "peer_scrub": "none"}),
    created("every option", "mode l2 blackhole scrub none headroom 3 tailroom 4 pairing pair peer forward scrub default",
            {"mode": "l2", "policy": "blackhole", "scrub": "none", "headroom": 3, "tailroom": 4},
            {"mode": "l2", "peer_policy": "blackhole", "peer_scrub": "none", "headroom": 3, "tailroom": 4}),
    created("options of the peer's link", "headroom 5 peer name nk1 mtu 1400 numrxqueues 2", *2 * [{"headroom": 5}],
            links={"nk1": {"mtu": 1400, "num_rx_queues": 2}, "nk0": {"mtu": 1500, "num_rx_queues": 1}}),
    created("address of the peer", "mode l2 peer name nk1 address 02:00:00:00:00:01", *2 * [{"mode": "l2"}],
            links={"nk1": {"address": "02:00:00:00:00:01"}}),
    Case("add: indices of both", "link add nk0 index 76 type netkit peer name nk1 index 77", {"nk0": PRIMARY, "nk1": PEER},
         links={"nk0": {"ifindex": 76}, "nk1": {"ifindex": 77}}),
    Case("add: options of the primary's link", "link add nk0 mtu 1300 numrxqueues 2 type netkit tailroom 9 peer name nk1",
         {"nk0": PRIMARY | {"tailroom": 9}, "nk1": PEER | {"tailroom": 9}},
         links={"nk0": {"mtu": 1300, "num_rx_queues": 2}, "nk1": {"mtu": 1500, "num_rx_queues": 1}}),
    Case("add: the peer in another namespace", "link add nk0 type netkit headroom 7 peer blackhole netns 1",
         {"nk0": PRIMARY | {"headroom": 7, "peer_policy": "blackhole"}}),
    single("by itself", "pairing single"),
    single("mode l2", "mode l2 pairing single", {"mode": "l2"}),
    single("mode l3, forward", "pairing single mode l3 forward"),
    single("headroom and tailroom", "headroom 10 pairing single tailroom 20", {"headroom": 10, "tailroom": 20}),
]

CHANGE = [
    changed("forward", "forward", {}, {}),
    changed("blackhole", "blackhole", {"policy": "blackhole"}, {"peer_policy": "blackhole"}),
    changed("peer blackhole", "peer blackhole", {"peer_policy": "blackhole"}, {"policy": "blackhole"}),
    changed("both", "blackhole peer blackhole", *2 * [{"policy": "blackhole", "peer_policy": "blackhole"}]),
    Case("set: back to forward", "link add nk0 type netkit blackhole peer blackhole name nk1\n"
         "link set dev nk0 type netkit forward peer forward", {"nk0": PRIMARY, "nk1": PEER}),
    *changed_by_ours("scrub", "scrub none", "scrubbing", {"scrub": "none"}, {"peer_scrub": "none"}),
    *changed_by_ours("peer scrub", "peer scrub none", "peer scrubbing", {"peer_scrub": "none"}, {"scrub": "none"}),
    *changed_by_ours("both scrub", "scrub none peer scrub none", "scrubbing", *2 * [{"scrub": "none", "peer_scrub": "none"}]),
    *changed_by_ours("headroom", "headroom 300", "headroom", *2 * [{"headroom": 300}]),
    *changed_by_ours("tailroom", "tailroom 24", "tailroom", *2 * [{"tailroom": 24}]),
    *changed_by_ours("the most headroom and tailroom", "headroom 65535 tailroom 65535", "headroom",
                     *2 * [{"headroom": 65535, "tailroom": 65535}]),
    *changed_by_ours("a policy and headroom", "blackhole headroom 1", "headroom", {"policy": "blackhole", "headroom": 1},
                     {"peer_policy": "blackhole", "headroom": 1}),
    *changed_by_ours("back to the defaults", "scrub default headroom 0 tailroom 0 peer scrub default", "scrubbing", {}, {},
                     "scrub none headroom 64 tailroom 16 peer scrub none",
                     {"scrub": "none", "peer_scrub": "none", "headroom": 64, "tailroom": 16}),
    *single_changed_by_ours("headroom of a single device", "headroom 5", "headroom", {"headroom": 5}),
    *single_changed_by_ours("tailroom of a single device", "tailroom 6", "tailroom", {"tailroom": 6}),
]

SWITCH = [
    created("dev-switch before", "dev-switch before"),
    changed("dev-switch before", "dev-switch before", {}, {}),
    *switched_by_ours("after", add_pair("dev-switch after")),
    *switched_by_ours("after, where the peer's options are", add_pair("peer dev-switch after")),
    *switched_by_ours("after, with other options", add_pair("mode l2 dev-switch after headroom 3 blackhole pairing pair"),
                      {"mode": "l2", "policy": "blackhole", "headroom": 3},
                      {"mode": "l2", "peer_policy": "blackhole", "headroom": 3}),
    *switched_by_ours("set after", add_pair("") + "\nlink set nk0 type netkit dev-switch after"),
    *switched_by_ours("set after, with policies", add_pair("") + "\nlink set nk0 type netkit blackhole dev-switch after peer blackhole",
                      *2 * [{"policy": "blackhole", "peer_policy": "blackhole"}]),
    *switched_by_ours("a change of policy leaves it", add_pair("dev-switch after") + "\nlink set nk0 type netkit blackhole",
                      {"policy": "blackhole"}, {"peer_policy": "blackhole"}),
    *switched_by_ours("there and back", add_pair("dev-switch after") + "\nlink set nk0 type netkit dev-switch before\n"
                      "link set nk0 type netkit dev-switch after"),
    Case("dev-switch: set before", add_pair("dev-switch after") + "\nlink set nk0 type netkit dev-switch before",
         {"nk0": PRIMARY, "nk1": PEER}),
    Case("dev-switch: set for a single device", "link add nk0 type netkit pairing single\n"
         "link set nk0 type netkit dev-switch after", {"nk0": SINGLE}, driver="C"),
    Case("dev-switch: set for a single device", "link add nk0 type netkit pairing single\n"
         "link set nk0 type netkit dev-switch after", {"nk0": SINGLE}, NOT_SUPPORTED, BY_KERNEL, driver="ours"),
]

REFUSED = [
    refused("mode without a value", "mode", INCOMPLETE, AT_ONCE),
    refused("an unknown mode", "mode l4", MODES),
    refused("mode twice", "mode l2 mode l2", 'Error: duplicate "mode": "l2" is the second value.', AT_ONCE),
    refused("scrub without a value", "scrub", INCOMPLETE, AT_ONCE),
    refused("an unknown scrub", "scrub some", SCRUBS),
    refused("an unknown scrub of the peer", "peer scrub some", SCRUBS),
    refused("headroom without a value", "headroom", INCOMPLETE, AT_ONCE),
    refused("headroom 65536", "headroom 65536", HEADROOM),
    refused("headroom -1", "headroom -1", HEADROOM),
    refused("headroom with a unit", "headroom 64k", HEADROOM),
    refused("headroom in words", "headroom none", HEADROOM),
    refused("headroom twice", "headroom 1 headroom 1", 'Error: duplicate "headroom": "1" is the second value.', AT_ONCE),
    refused("tailroom without a value", "tailroom", INCOMPLETE, AT_ONCE),
    refused("tailroom 65536", "tailroom 65536", TAILROOM),
    refused("tailroom -1", "tailroom -1", TAILROOM),
    refused("tailroom with a unit", "tailroom 64k", TAILROOM),
    refused("tailroom in words", "tailroom none", TAILROOM),
    refused("tailroom twice", "tailroom 1 tailroom 2", 'Error: duplicate "tailroom": "2" is the second value.', AT_ONCE),
    refused("pairing without a value", "pairing", INCOMPLETE, AT_ONCE),
    refused("an unknown pairing", "pairing triple", PAIRINGS),
    refused("pairing twice", "pairing pair pairing single", 'Error: duplicate "pairing": "single" is the second value.', AT_ONCE),
    refused("dev-switch without a value", "dev-switch", INCOMPLETE, AT_ONCE),
    refused("an unknown dev-switch", "dev-switch later", SWITCHES),
    refused("dev-switch as a number", "dev-switch 1", SWITCHES),
    refused("dev-switch twice", "dev-switch before dev-switch after", 'Error: duplicate "dev-switch": "after" is the second value.',
            AT_ONCE),
    refused("peer twice", "peer forward peer name nk1", 'Error: duplicate "peer": "name" is the second value.', AT_ONCE),
    refused("an unknown option", "policy forward", f'netkit: unknown option "policy"?\n{USAGE}'),
    refused("single with a peer", "pairing single peer name nk1", NO_PEER % "peer"),
    refused("single with a peer, nothing said of it", "pairing single peer", NO_PEER % "peer"),
    refused("single after peer", "peer pairing single", NO_PEER % "peer"),
    refused("single with the peer's policy", "pairing single peer forward", NO_PEER % "peer"),
    refused("single with the peer's scrub", "pairing single peer scrub none", NO_PEER % "peer"),
    refused("single with scrub", "scrub default pairing single", NO_PEER % "scrub"),
    refused("single with scrub none", "pairing single scrub none", NO_PEER % "scrub"),
    refused("single with dev-switch", "pairing single dev-switch after", NO_PEER % "dev-switch"),
    refused("single with dev-switch before", "dev-switch before pairing single", NO_PEER % "dev-switch"),
    refused("single with blackhole", "pairing single blackhole", NO_PEER % "blackhole"),
    refused("blackhole with single", "blackhole pairing single", NO_PEER % "blackhole"),
    # By the kernel:
    Case("refused: an address in mode l3", "link add nk0 address 02:00:00:00:00:01 type netkit peer name nk1", {},
         NOT_SUPPORTED, BY_KERNEL),
    refused("an address of the peer in mode l3", "peer name nk1 address 02:00:00:00:00:01", NOT_SUPPORTED, BY_KERNEL),
    refused("two devices of one name", "peer name nk0", "RTNETLINK answers: File exists", BY_KERNEL),
    unchanged("mode", "mode l3", FIXED % "operating mode"),
    unchanged("mode, with what our driver changes", "dev-switch after blackhole mode l2", FIXED % "operating mode"),
    unchanged("pairing", "pairing pair", FIXED % "pairing"),
    unchanged("pairing single", "pairing single", FIXED % "pairing"),
    unchanged("a peer that there is not", "peer name nk2", 'Cannot find device "nk2"', status=BY_IP),
    *(unchanged(f"through the peer: {options}", options, ONLY_PRIMARY, "nk1")
      for options in ("forward", "scrub none", "headroom 1", "tailroom 1", "dev-switch after")),
    unchanged("headroom 65536", "headroom 65536", HEADROOM, status=BY_IP),
    unchanged("an unknown dev-switch", "dev-switch none", SWITCHES, status=BY_IP),
    single_unchanged("policy of a single device", "forward"),
    single_unchanged("peer policy of a single device", "peer blackhole"),
    single_unchanged("scrub of a single device", "scrub none", FIXED % "scrubbing"),
    single_unchanged("peer scrub of a single device", "peer scrub none", FIXED % "peer scrubbing"),
]

BATCH = [
    Case("batch: modes", "link add nk0 type netkit mode l2 peer name nk1\nlink add nk2 type netkit mode l2 peer name nk3\n"
         "link add nk4 type netkit mode l3 peer name nk5",
         {"nk0": PRIMARY | {"mode": "l2"}, "nk1": PEER | {"mode": "l2"}, "nk2": PRIMARY | {"mode": "l2"},
          "nk3": PEER | {"mode": "l2"}, "nk4": PRIMARY, "nk5": PEER}, batch="-batch"),
    Case("batch: headroom, tailroom, pairing", "link add nk0 type netkit headroom 1 tailroom 2 pairing single\n"
         "link add nk1 type netkit headroom 3 tailroom 4 pairing pair peer name nk2\n"
         "link add nk3 type netkit pairing single headroom 5",
         {"nk0": SINGLE | {"headroom": 1, "tailroom": 2}, "nk1": PRIMARY | {"headroom": 3, "tailroom": 4},
          "nk2": PEER | {"headroom": 3, "tailroom": 4}, "nk3": SINGLE | {"headroom": 5}}, batch="-batch"),
    Case("batch: what was seen of one line is forgotten", "link add nk0 type netkit blackhole scrub none peer name nk1\n"
         "link add nk2 type netkit pairing single\nlink add nk3 type netkit peer name nk4",
         {"nk0": PRIMARY | {"policy": "blackhole", "scrub": "none"}, "nk1": PEER | {"peer_policy": "blackhole", "peer_scrub": "none"},
          "nk2": SINGLE, "nk3": PRIMARY, "nk4": PEER}, batch="-batch"),
    Case("batch: a policy after a line with peer", "link add nk0 type netkit peer name nk1\nlink set nk0 type netkit blackhole",
         {"nk0": PRIMARY | {"policy": "blackhole"}, "nk1": PEER | {"peer_policy": "blackhole"}}, batch="-batch"),
    Case("batch: scrub after a line with peer", "link add nk0 type netkit peer scrub none name nk1\n"
         "link add nk2 type netkit scrub none peer name nk3",
         {"nk0": PRIMARY | {"peer_scrub": "none"}, "nk1": PEER | {"scrub": "none"},
          "nk2": PRIMARY | {"scrub": "none"}, "nk3": PEER | {"peer_scrub": "none"}}, batch="-batch"),
    *(Case("batch: dev-switch", "link add nk0 type netkit dev-switch after peer name nk1\nlink add nk2 type netkit pairing single\n"
           "link add nk3 type netkit dev-switch after peer name nk4\nlink set nk3 type netkit dev-switch before",
           {"nk0": PRIMARY | shown, "nk1": PEER, "nk2": SINGLE, "nk3": PRIMARY, "nk4": PEER}, batch="-batch", driver=driver)
      for driver, shown in (("C", {}), ("ours", AFTER))),
    Case("batch: among other link types", "link add d0 type dummy\nlink add nk0 type netkit peer name nk1 mtu 1400\n"
         "link add v0 type veth peer name v1\nlink add nk2 type netkit peer name nk3 mtu 1300\nlink del nk0",
         {"nk2": PRIMARY, "nk3": PEER}, batch="-batch", links={"nk3": {"mtu": 1300}}),
    Case("batch: stops at a bad line", "link add nk0 type netkit peer name nk1\nlink add nk2 type netkit headroom x\n"
         "link add nk3 type netkit", {"nk0": PRIMARY, "nk1": PEER}, f"{HEADROOM}\nCommand failed -:2", 1, "-batch"),
    Case("batch: goes on after bad lines with -force", "link add nk0 type netkit pairing single scrub none\n"
         "link add nk0 type netkit tailroom -5\nlink add nk0 type netkit pairing none\nlink add nk0 type netkit peer name nk1",
         {"nk0": PRIMARY, "nk1": PEER},
         "\n".join(f"{error}\nCommand failed -:{line}" for line, error in ((1, NO_PEER % "scrub"), (2, TAILROOM), (3, PAIRINGS))),
         1, "-force -batch"),
]

HELP = [
    Case("help: ip link help netkit", "link help netkit", output=USAGE),
]

# The ip that has none of our patches: the test sees what they mend.
UNPATCHED = [
    Case("unpatched: fails as known: batch, mode", "link add nk0 type netkit mode l2 peer name nk1\n"
         "link add nk2 type netkit mode l2 peer name nk3", {"nk0": PRIMARY, "nk1": PEER},
         'Error: duplicate "mode": "l2" is the second value.', AT_ONCE, "-batch", unpatched="7.x"),
    Case("unpatched: fails as known: batch, peer", "link add nk0 type netkit peer name nk1\nlink add nk2 type netkit peer name nk3",
         {"nk0": PRIMARY, "nk1": PEER}, 'Error: duplicate "peer": "name" is the second value.', AT_ONCE, "-batch", unpatched="7.x"),
    Case("unpatched: fails as known: headroom", "link add nk0 type netkit headroom 1", {},
         'netkit: unknown option "headroom"?', BY_IP, unpatched="7.x"),
    Case("unpatched: fails as known: pairing", "link add nk0 type netkit pairing single", {},
         'netkit: unknown option "pairing"?', BY_IP, unpatched="7.x"),
    Case("unpatched: fails as known: dev-switch", "link add nk0 type netkit dev-switch after", {},
         'netkit: unknown option "dev-switch"?', BY_IP, unpatched="7.x"),
    Case("unpatched: fails as known: any option", "link add nk0 type netkit mode l2", {},
         'Garbage instead of arguments "mode ...". Try "ip link help".', BY_IP, unpatched="6.1"),
]

CASES = CREATE + CHANGE + SWITCH + REFUSED + BATCH + HELP + UNPATCHED

# Lines to complete, up to the cursor, and the words that bash then offers.
COMPLETIONS = {
    "ip link add nk0 type netk": "netkit",
    "ip link add nk0 type netkit ": "blackhole dev-switch forward headroom mode pairing peer scrub tailroom",
    "ip link add nk0 type netkit m": "mode",
    "ip link add nk0 type netkit mode ": "l2 l3",
    "ip link add nk0 type netkit scrub n": "none",
    "ip link add nk0 type netkit pairing ": "pair single",
    "ip link add nk0 type netkit dev-switch ": "after before",
    "ip link add nk0 type netkit headroom ": "",
    "ip link add nk0 type netkit headroom 5 blackhole ": "dev-switch mode pairing peer scrub tailroom",
    "ip link add nk0 type netkit peer dev-switch after n": "name netns numrxqueues numtxqueues",
    "ip link add nk0 type netkit pairing single ": "forward headroom mode tailroom",
    "ip -d -n blue l a nk0 type netkit mode l2 scrub none ": "blackhole dev-switch forward headroom pairing peer tailroom",
    "ip link add nk0 type netkit blackhole peer ": "address blackhole forward mtu name netns numrxqueues numtxqueues scrub txqueuelen",
    "ip link add nk0 type netkit peer forward scrub none n": "name netns numrxqueues numtxqueues",
    "ip link add nk0 type netkit peer name ": "",
    "ip link add nk0 type netkit peer name nk1 m": "mtu",
    "ip link set dev nk0 type netkit ": "blackhole dev-switch forward headroom peer scrub tailroom",
    "ip link set nk0 type netkit headroom 5 dev-switch after ": "blackhole forward peer scrub tailroom",
    "ip link set nk0 type netkit forward peer ": "blackhole forward scrub",
    "ip link set nk0 type netkit peer scrub ": "default none",
    # The rest is left to the other completion.
    "ip addr show ty": "type",
    "ip link se": "set",
}
