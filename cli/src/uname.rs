// SPDX-License-Identifier: GPL-2.0
//! uname(2) for aya, which panics on the version of a Debian kernel that is a release candidate (`Debian 7.3~rc7-1~exp1`): it
//! wants three numbers. In a program that calls [`for_aya`], aya calls the function here instead of libc's.

use std::ffi::c_char;
use std::ffi::c_int;
use std::hint;

use libc::utsname;

/// Makes the function part of the program.
pub fn for_aya() {
    hint::black_box(uname as *const ());
}

/// uname(2), with `7.3.0~rc7` in the version instead of `7.3~rc7`.
///
/// # Safety
///
/// `buffer` points to a `struct utsname` that this function may write.
#[no_mangle]
pub unsafe extern "C" fn uname(buffer: *mut utsname) -> c_int {
    // SAFETY: the caller promises a buffer of this type.
    let ret = unsafe { libc::syscall(libc::SYS_uname, buffer) };
    if ret == 0 {
        // SAFETY: as above; the system call has filled it.
        third_number(unsafe { &mut (*buffer).version });
    }
    ret as c_int
}

/// Puts ".0" before the first '~' if there are two numbers before it.
fn third_number(version: &mut [c_char]) {
    let text: Vec<u8> = version.iter().map(|&c| c as u8).collect();
    let Some(at) = text.iter().position(|&c| c == b'~') else {
        return;
    };
    let start = text[..at].iter().rposition(|&c| c == b' ');
    let numbers = &text[start.map_or(0, |space| space + 1)..at];
    let dots = numbers.iter().filter(|&&c| c == b'.').count();
    let digits = numbers.iter().filter(|c| c.is_ascii_digit()).count();
    if dots != 1 || dots + digits != numbers.len() {
        return;
    }
    let (before, behind) = text.split_at(at);
    let longer = before.iter().chain(b".0").chain(behind);
    for (to, &from) in version.iter_mut().zip(longer) {
        *to = from as c_char;
    }
    if let Some(last) = version.last_mut() {
        *last = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mended(version: &str) -> String {
        let mut field = [0; 65];
        for (to, from) in field.iter_mut().zip(version.bytes()) {
            *to = from as c_char;
        }
        third_number(&mut field);
        let bytes = field.iter().map(|&c| c as u8);
        String::from_utf8(bytes.take_while(|&c| c != 0).collect()).expect("ASCII")
    }

    #[test]
    fn a_release_candidate_gets_a_third_number() {
        let of = |version: &str| format!("#1 SMP PREEMPT_DYNAMIC Debian {version} (2026-10-16)");
        assert_eq!(mended(&of("7.3~rc7-1~exp1")), of("7.3.0~rc7-1~exp1"));
        for version in ["7.3-1~exp1", "7.3.4-1~bpo13+1", "7.2.13-1"] {
            assert_eq!(mended(&of(version)), of(version));
        }
        // The field is full: the date loses its end.
        let long = format!("{} {}", "x".repeat(40), "7.3~rc7-1~exp1 (2026-10)");
        assert_eq!(mended(&long).len(), 64);
    }

    #[test]
    fn aya_calls_it() {
        // SAFETY: integers, for which zero is a value.
        let mut name: utsname = unsafe { std::mem::zeroed() };
        // SAFETY: a buffer of this type.
        assert_eq!(unsafe { libc::uname(&raw mut name) }, 0);
        assert_eq!(libc::uname as *const (), uname as *const ());
    }
}
