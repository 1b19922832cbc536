// SPDX-License-Identifier: GPL-2.0
//! The scenarios of the packet path, one on each line.

use crate::bed::Mode;
use crate::bed::Mode::L2;
use crate::bed::Mode::L3;
use crate::bed::Shape;

/// Who makes the packets, and of what size.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Generator {
    /// pktgen, transmitting.
    Transmit(usize),
    /// pktgen, as if a device of the host had received the packet (64 bytes).
    Receive,
    /// A UDP socket, 64 KiB to be segmented.
    Gso,
}

impl Generator {
    pub const ALL: [Generator; 4] = [
        Generator::Transmit(64),
        Generator::Transmit(1500),
        Generator::Receive,
        Generator::Gso,
    ];

    /// The scenario of the dummy device that measures the generator's own cost.
    pub fn name(self) -> String {
        match self {
            Generator::Transmit(size) => format!("generator/transmit-{size}"),
            Generator::Receive => "generator/receive-64".to_owned(),
            Generator::Gso => "generator/gso-64k".to_owned(),
        }
    }
}

/// Where every packet must have ended up: a measurement of anything else is refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum End {
    /// Received by b1.
    Delivered,
    /// Dropped: netkit returns this to the sender.
    Dropped,
    /// Sent out of out0.
    Out,
}

#[derive(Clone, Debug)]
pub struct Scenario {
    pub name: String,
    pub shape: Shape,
    pub generator: Generator,
    /// The program of bpf/bench.c, and how many of it.
    pub program: Option<(&'static str, usize)>,
    pub end: End,
}

const BED: Shape = Shape {
    mode: L2,
    far: true,
    blackhole: false,
    switch_after: false,
};

fn scenario(
    name: impl Into<String>,
    shape: Shape,
    program: Option<(&'static str, usize)>,
    end: End,
) -> Scenario {
    Scenario {
        name: name.into(),
        shape,
        generator: Generator::Transmit(64),
        program,
        end,
    }
}

fn forward(mode: Mode, far: bool, generator: Generator) -> Scenario {
    let size = match generator {
        Generator::Transmit(size) => size.to_string(),
        Generator::Receive => "64".to_owned(),
        Generator::Gso => "gso64k".to_owned(),
    };
    let mode_name = if mode == L2 { "l2" } else { "l3" };
    let place = if far { "other-ns" } else { "same-ns" };
    let shape = Shape { mode, far, ..BED };
    Scenario {
        generator,
        ..scenario(
            format!("forward/{mode_name}/{place}/{size}"),
            shape,
            None,
            End::Delivered,
        )
    }
}

/// All scenarios; those with the same pair are next to each other.
pub fn all() -> Vec<Scenario> {
    let small = Generator::Transmit(64);
    let large = Generator::Transmit(1500);
    let l3 = Shape { mode: L3, ..BED };
    let blackhole = Shape {
        blackhole: true,
        ..BED
    };
    let mut list = vec![
        forward(L2, false, small),
        forward(L3, false, small),
        scenario("blackhole", blackhole, None, End::Dropped),
        forward(L3, true, small),
        forward(L3, true, large),
        forward(L3, true, Generator::Gso),
        scenario("program/l3/pass", l3, Some(("pass", 1)), End::Delivered),
        scenario(
            "program/l3/redirect-neigh",
            l3,
            Some(("redirect_neigh", 1)),
            End::Out,
        ),
        forward(L2, true, small),
        forward(L2, true, large),
        forward(L2, true, Generator::Gso),
        scenario("program/l2/pass", BED, Some(("pass", 1)), End::Delivered),
        scenario("program/l2/drop", BED, Some(("drop", 1)), End::Dropped),
        scenario("program/l2/next", BED, Some(("next", 1)), End::Delivered),
    ];
    for count in [2, 4, 8, 16, 63] {
        let name = format!("programs/{count}");
        list.push(scenario(name, BED, Some(("next", count)), End::Delivered));
    }
    list.push(scenario(
        "redirect/dummy",
        BED,
        Some(("redirect", 1)),
        End::Out,
    ));
    list.push(scenario(
        "redirect_neigh/out",
        BED,
        Some(("redirect_neigh", 1)),
        End::Out,
    ));
    let after = Shape {
        switch_after: true,
        ..BED
    };
    for (name, program) in [("forward", None), ("pass", Some(("pass", 1)))] {
        let name = format!("dev-switch-after/{name}");
        list.push(scenario(name, after, program, End::Delivered));
    }
    list.push(Scenario {
        generator: Generator::Receive,
        ..scenario(
            "redirect_peer/in",
            BED,
            Some(("redirect_peer", 1)),
            End::Delivered,
        )
    });
    list
}
