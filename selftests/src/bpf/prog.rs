// SPDX-License-Identifier: GPL-2.0
//! Programs of two instructions, for tests that need many or need a certain type.

use std::os::fd::AsFd;
use std::os::fd::AsRawFd;
use std::os::fd::BorrowedFd;
use std::os::fd::OwnedFd;
use std::ptr;

use super::check;
use super::check_fd;
use super::Answer;

const MOV64_IMM_R0: u8 = 0xb7;
const EXIT: u8 = 0x95;

/// A loaded program.
pub struct Prog {
    fd: OwnedFd,
    pub id: u32,
}

impl AsFd for Prog {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Prog {
    /// A tc program that returns `verdict` for every packet.
    pub fn returning(verdict: i32) -> Answer<Self> {
        Self::load(libbpf_sys::BPF_PROG_TYPE_SCHED_CLS, 0, verdict)
    }

    pub fn load(prog_type: u32, attach_type: u32, verdict: i32) -> Answer<Self> {
        let insns = [insn(MOV64_IMM_R0, verdict), insn(EXIT, 0)];
        let mut opts = libbpf_sys::bpf_prog_load_opts {
            sz: size_of::<libbpf_sys::bpf_prog_load_opts>() as _,
            expected_attach_type: attach_type,
            ..Default::default()
        };
        // SAFETY: the instructions and the options outlive the call, the strings are C strings.
        let fd = check_fd(unsafe {
            libbpf_sys::bpf_prog_load(
                prog_type,
                ptr::null(),
                c"GPL".as_ptr(),
                insns.as_ptr(),
                insns.len() as _,
                &mut opts,
            )
        })?;
        Self::from_fd(fd)
    }

    pub fn from_fd(fd: OwnedFd) -> Answer<Self> {
        let id = id(fd.as_fd())?;
        Ok(Self { fd, id })
    }
}

fn insn(code: u8, imm: i32) -> libbpf_sys::bpf_insn {
    libbpf_sys::bpf_insn {
        code,
        imm,
        ..Default::default()
    }
}

/// The id of a program behind a descriptor.
pub fn id(fd: BorrowedFd<'_>) -> Answer<u32> {
    Ok(info(fd)?.id)
}

/// How often a program has run while runs were counted ([`super::count_runs`]).
pub fn run_count(prog: impl AsFd) -> Answer<u64> {
    Ok(info(prog.as_fd())?.run_cnt)
}

fn info(fd: BorrowedFd<'_>) -> Answer<libbpf_sys::bpf_prog_info> {
    let mut info = libbpf_sys::bpf_prog_info::default();
    let mut len = size_of_val(&info) as u32;
    // SAFETY: `info` is valid for the `len` bytes that the kernel may write.
    check(unsafe { libbpf_sys::bpf_prog_get_info_by_fd(fd.as_raw_fd(), &mut info, &mut len) })?;
    Ok(info)
}

/// Runs a program on one packet (BPF_PROG_TEST_RUN), and returns its return value.
pub fn test_run(prog: impl AsFd, packet: &[u8]) -> Answer<u32> {
    let mut opts = libbpf_sys::bpf_test_run_opts {
        sz: size_of::<libbpf_sys::bpf_test_run_opts>() as _,
        data_in: packet.as_ptr().cast(),
        data_size_in: packet.len() as u32,
        repeat: 1,
        ..Default::default()
    };
    let fd = prog.as_fd().as_raw_fd();
    // SAFETY: the packet outlives the call with its true length, and nothing is to be written back.
    check(unsafe { libbpf_sys::bpf_prog_test_run_opts(fd, &mut opts) })?;
    Ok(opts.retval)
}
