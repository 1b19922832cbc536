// SPDX-License-Identifier: GPL-2.0
//! What each netkit program returned. For this, the program of bpf/verdict.c is attached to the end of each of them.
//!
//! aya attaches such a program to functions of the kernel only, so the system calls are made here. A program without BTF
//! cannot be followed.

use std::collections::HashMap;
use std::io;
use std::mem;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd;
use std::os::fd::BorrowedFd;
use std::os::fd::FromRawFd;
use std::os::fd::OwnedFd;
use std::os::fd::RawFd;

use anyhow::ensure;
use anyhow::Context;
use anyhow::Result;
use aya::include_bytes_aligned;
use aya::programs::loaded_programs;
use aya_obj::generated::bpf_func_info;
use aya_obj::generated::bpf_insn;
use aya_obj::generated::bpf_prog_info;
use aya_obj::Object;

use super::names::Attached;

/// `enum bpf_cmd`, `enum bpf_prog_type` and `enum bpf_attach_type` of include/uapi/linux/bpf.h.
const PROG_LOAD: libc::c_long = 5;
const OBJ_GET_INFO_BY_FD: libc::c_long = 15;
const LINK_CREATE: libc::c_long = 28;
const TRACING: u32 = 26;
const FEXIT: u32 = 25;

/// The part of `union bpf_attr` that BPF_PROG_LOAD reads.
#[repr(C)]
#[derive(Default)]
struct Load {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log: [u32; 4],
    kern_version: u32,
    prog_flags: u32,
    prog_name: [u8; 16],
    prog_ifindex: u32,
    expected_attach_type: u32,
    prog_btf_fd: u32,
    func_and_line_info: [u32; 8],
    attach_btf_id: u32,
    attach_prog_fd: u32,
    more: u32,
}

/// That of BPF_OBJ_GET_INFO_BY_FD.
#[repr(C)]
struct GetInfo {
    bpf_fd: u32,
    info_len: u32,
    info: u64,
}

/// That of BPF_LINK_CREATE for tracing programs.
#[repr(C)]
#[derive(Default)]
struct Create {
    prog_fd: u32,
    target_fd: u32,
    attach_type: u32,
    flags: u32,
    target_btf_id: u32,
    spare: u32,
    cookie: u64,
}

fn bpf<T>(command: libc::c_long, attr: &mut T) -> io::Result<RawFd> {
    // SAFETY: `attr` is the part of `union bpf_attr` that the command uses; pointers in it are valid for this call.
    let answer = unsafe { libc::syscall(libc::SYS_bpf, command, &raw mut *attr, size_of::<T>()) };
    match RawFd::try_from(answer) {
        Ok(answer) if answer >= 0 => Ok(answer),
        _ => Err(io::Error::last_os_error()),
    }
}

fn bpf_fd<T>(command: libc::c_long, attr: &mut T) -> io::Result<OwnedFd> {
    let fd = bpf(command, attr)?;
    // SAFETY: The kernel has made this descriptor just now; nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// A followed program: its link exists as long as the value.
struct Followed {
    name: Option<String>,
    _link: Option<OwnedFd>,
}

pub struct Verdicts {
    instructions: Vec<bpf_insn>,
    followed: HashMap<u32, Followed>,
}

impl Verdicts {
    /// `running` is the map of that name, which the programs of bpf/trace.c have made.
    pub fn new(running: BorrowedFd<'_>) -> Result<Self> {
        let bytes = include_bytes_aligned!(concat!(env!("OUT_DIR"), "/verdict.o"));
        let mut object = Object::parse(bytes).context("verdict.o")?;
        let maps = object.maps.clone();
        let sections = object.functions.keys().map(|key| key.0).collect();
        let fd = running.as_raw_fd();
        object.relocate_maps(
            maps.iter().map(|(name, map)| (name.as_str(), fd, map)),
            &sections,
        )?;
        object.relocate_calls(&sections)?;
        let program = object.programs.get("program_ends").context("no program")?;
        let function = object.functions.get(&program.function_key());
        Ok(Self {
            instructions: function.context("no function")?.instructions.clone(),
            followed: HashMap::new(),
        })
    }

    /// Follows these programs, and no others. What cannot be followed has no verdicts.
    pub fn follow(&mut self, attached: &Attached) {
        let Attached { programs, complete } = attached;
        if *complete {
            self.followed.retain(|id, _| programs.contains(id));
        }
        for info in loaded_programs().filter_map(Result::ok) {
            let id = info.id();
            if !programs.contains(&id) || self.followed.contains_key(&id) {
                continue;
            }
            let name = info.name_as_str().map(str::to_owned);
            let fd = info.fd().ok();
            let link = fd.and_then(|fd| self.attach(fd.as_fd(), id).ok());
            self.followed.insert(id, Followed { name, _link: link });
        }
    }

    fn attach(&self, target: BorrowedFd<'_>, id: u32) -> Result<OwnedFd> {
        let mut load = Load {
            prog_type: TRACING,
            insn_cnt: self.instructions.len() as u32,
            insns: self.instructions.as_ptr() as u64,
            license: c"GPL".as_ptr() as u64,
            expected_attach_type: FEXIT,
            attach_btf_id: main_function(target)?,
            attach_prog_fd: target.as_raw_fd() as u32,
            ..Load::default()
        };
        let program = bpf_fd(PROG_LOAD, &mut load)?;
        let mut create = Create {
            prog_fd: program.as_raw_fd() as u32,
            attach_type: FEXIT,
            cookie: id.into(),
            ..Create::default()
        };
        Ok(bpf_fd(LINK_CREATE, &mut create)?)
    }

    #[cfg(test)]
    pub fn for_test(id: u32, name: &str) -> Self {
        let name = Some(name.to_owned());
        Self {
            instructions: Vec::new(),
            followed: HashMap::from([(id, Followed { name, _link: None })]),
        }
    }

    pub fn name(&self, id: u32) -> Option<String> {
        self.followed.get(&id)?.name.clone()
    }
}

/// The type of the program's main function in the program's BTF. Fails for a program without BTF.
fn main_function(program: BorrowedFd<'_>) -> Result<u32> {
    let mut functions = [bpf_func_info {
        insn_off: 0,
        type_id: 0,
    }];
    // SAFETY: Integers and arrays of integers, for which all bits may be zero.
    let mut info: bpf_prog_info = unsafe { mem::zeroed() };
    info.nr_func_info = 1;
    info.func_info_rec_size = size_of::<bpf_func_info>() as u32;
    info.func_info = functions.as_mut_ptr() as u64;
    let mut attr = GetInfo {
        bpf_fd: program.as_raw_fd() as u32,
        info_len: size_of::<bpf_prog_info>() as u32,
        info: &raw mut info as u64,
    };
    bpf(OBJ_GET_INFO_BY_FD, &mut attr)?;
    ensure!(info.nr_func_info > 0, "the program has no BTF");
    // The first one begins at the program's first instruction.
    Ok(functions[0].type_id)
}
