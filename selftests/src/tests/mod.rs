// SPDX-License-Identifier: GPL-2.0
//! All tests, one file per feature.

use std::rc::Rc;

use anyhow::Result;

use crate::ctx::Ctx;

/// What a test runs on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Needs {
    /// Whichever netkit driver the kernel has at that moment.
    AnyDriver,
    /// netkit_rs.ko, which the test loads and unloads by itself: why C cannot run it.
    Module(&'static str),
}

/// The body of a test.
pub type Run = Rc<dyn Fn(&Ctx) -> Result<()>>;

pub struct Test {
    pub name: String,
    pub needs: Needs,
    /// What the machine lacks for the test, if anything; asked right before it.
    pub lacks: fn() -> Option<String>,
    /// How many times the usual time limit the test may take.
    pub patience: u32,
    pub run: Run,
}

impl Test {
    pub fn new(module: &str, name: &str, run: fn(&Ctx) -> Result<()>) -> Self {
        let module = module.rsplit("::").next().unwrap_or(module);
        Self {
            name: format!("{module}::{name}"),
            needs: Needs::AnyDriver,
            lacks: || None,
            patience: 1,
            run: Rc::new(run),
        }
    }
}

/// Tests that load and unload the module by themselves; some do so often.
fn with_module(mut tests: Vec<Test>) -> Vec<Test> {
    for test in &mut tests {
        test.needs = Needs::Module("there is no module to load or unload with the built-in driver");
    }
    patient(tests)
}

/// One of the tests loads and unloads the module by itself: why C cannot run it.
fn one_with_module(mut tests: Vec<Test>, name: &str, why: &'static str) -> Vec<Test> {
    for test in &mut tests {
        if test.name.ends_with(name) {
            test.needs = Needs::Module(why);
        }
    }
    tests
}

/// Tests that start many processes, which takes its time in an emulated VM.
fn patient(mut tests: Vec<Test>) -> Vec<Test> {
    for test in &mut tests {
        test.patience = 3;
    }
    tests
}

/// Lists the tests of a file.
macro_rules! tests {
    ($($name:ident),+ $(,)?) => {
        pub fn tests() -> Vec<$crate::tests::Test> {
            vec![$($crate::tests::Test::new(module_path!(), stringify!($name), $name)),+]
        }
    };
}

pub(crate) use tests;

mod attach;
mod aya;
mod backlog;
mod big_tcp;
mod carrier;
mod change;
mod checksum;
mod command;
mod command_module;
mod command_refused;
mod command_trace;
mod create;
mod delete;
pub mod dev_switch;
mod dev_switch_helpers;
mod dmabuf;
mod drops;
mod egress;
mod forward;
mod hook_order;
mod hooks;
mod invalid;
mod ipsec;
mod ipvs;
mod killed;
mod lease;
mod lengths;
mod limits;
mod links;
mod mac;
pub mod module;
mod mtu;
mod nested;
mod order;
mod packet;
mod packet_sockets;
mod policy;
mod query;
mod redirect;
mod redirect_peer;
mod rights;
mod room;
mod run_count;
mod scrub;
mod scrubbing;
mod senders;
mod shapes;
mod show;
mod single;
mod stacked;
mod symbols;
mod tail_calls;
mod tproxy;
mod tracing;
mod users;
mod verdict;
mod write_back;
mod xdp;
pub mod xsk;
mod xsk_end;
pub mod zcrx;
mod zero_copy;

pub fn all() -> Vec<Test> {
    [
        create::tests(),
        invalid::tests(),
        mac::tests(),
        limits::tests(),
        change::tests(),
        write_back::tests(),
        delete::tests(),
        users::tests(),
        rights::tests(),
        show::tests(),
        policy::tests(),
        forward::tests(),
        carrier::tests(),
        verdict::tests(),
        drops::tests(),
        egress::tests(),
        backlog::all(),
        ipvs::all(),
        dev_switch::tests(),
        dev_switch_helpers::all(),
        tproxy::tests(),
        scrub::tests(),
        scrubbing::tests(),
        ipsec::all(),
        hooks::tests(),
        packet::tests(),
        packet_sockets::tests(),
        mtu::tests(),
        lengths::tests(),
        shapes::tests(),
        zero_copy::tests(),
        checksum::tests(),
        redirect::tests(),
        redirect_peer::all(),
        senders::tests(),
        nested::tests(),
        tail_calls::tests(),
        stacked::tests(),
        xdp::tests(),
        lease::tests(),
        xsk::tests(),
        xsk_end::all(),
        zcrx::tests(),
        killed::all(),
        dmabuf::all(),
        big_tcp::tests(),
        attach::tests(),
        order::tests(),
        hook_order::tests(),
        run_count::tests(),
        query::tests(),
        links::tests(),
        aya::tests(),
        patient(command::tests()),
        patient(command_refused::tests()),
        patient(command_trace::all()),
        room::tests(),
        single::tests(),
        symbols::tests(),
        tracing::tests(),
        with_module(module::tests()),
        with_module(command_module::tests()),
    ]
    .into_iter()
    .flatten()
    .collect()
}
