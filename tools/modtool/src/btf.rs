// SPDX-License-Identifier: GPL-2.0

//! The module's BTF, which gives tracers the types of its functions.
//!
//! pahole writes no BTF for Rust. Each function that is traced stands for a function of netkit.c, and has its prototype. So it
//! gets a BTF_KIND_FUNC whose type is that prototype in the kernel's own BTF. The module is for exactly that kernel: the type's
//! number cannot mean another type (Documentation/bpf/btf.rst, "split BTF").

use crate::{layout::BtfFile, names::Callback};
use anyhow::{bail, Result};
use btf_rs::{BtfType, Type};

/// `struct btf_header` (include/uapi/linux/btf.h).
const MAGIC: u16 = 0xeb9f;
const VERSION: u8 = 1;
const HEADER_SIZE: u32 = 24;
/// `info` of a static function: BTF_KIND_FUNC, BTF_FUNC_STATIC.
const STATIC_FUNC: u32 = 12 << 24;

/// The section `.BTF` of a module with these functions, and what could not be described.
pub fn section(kernel: &BtfFile, callbacks: &[Callback]) -> Result<(Vec<u8>, Vec<String>)> {
    let (mut types, mut strings) = (Vec::new(), Vec::from([0]));
    let mut missing = Vec::new();
    // Sorted by name: then the kernel finds a function by a binary search (`btf_check_sorted()`).
    let mut callbacks: Vec<_> = callbacks.iter().collect();
    callbacks.sort_by_key(|callback| &callback.name);
    for callback in callbacks {
        let Some(prototype) = prototype(kernel, &callback.stands_for)? else {
            missing.push(format!("{}()", callback.stands_for));
            continue;
        };
        // Offsets of names, as the numbers of types, begin where the kernel's own end.
        let name_at = kernel.strings_len()? + u32::try_from(strings.len())?;
        for word in [name_at, STATIC_FUNC, prototype] {
            types.extend(word.to_le_bytes());
        }
        strings.extend(callback.name.bytes());
        strings.push(0);
    }
    let (types_len, strings_len) = (u32::try_from(types.len())?, u32::try_from(strings.len())?);
    let mut section = Vec::new();
    section.extend(MAGIC.to_le_bytes());
    section.extend([VERSION, 0]);
    for word in [HEADER_SIZE, 0, types_len, types_len, strings_len] {
        section.extend(word.to_le_bytes());
    }
    section.extend(types);
    section.extend(strings);
    Ok((section, missing))
}

/// The number of the prototype of the kernel's function `name`. Several functions of that name must agree.
fn prototype(kernel: &BtfFile, name: &str) -> Result<Option<u32>> {
    let mut found = Vec::new();
    for ty in kernel.btf.resolve_types_by_name(name).unwrap_or_default() {
        if let Type::Func(func) = ty {
            found.push(func.get_type_id()?);
        }
    }
    found.dedup();
    match found[..] {
        [] => Ok(None),
        [id] => Ok(Some(id)),
        _ => bail!("the kernel's BTF has several functions {name}() that differ"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use btf_rs::Btf;

    /// The BTF of a kernel whose only types are `int`, the prototype `int (void)`, and the function `netkit_open()` of it.
    fn kernel() -> BtfFile {
        let strings = b"\0int\0netkit_open\0";
        let types: [u32; 10] = [
            1,
            1 << 24,
            4,
            32 | (1 << 24),
            0,
            13 << 24,
            1,
            5,
            STATIC_FUNC,
            2,
        ];
        let mut raw = Vec::new();
        raw.extend(MAGIC.to_le_bytes());
        raw.extend([VERSION, 0]);
        for word in [HEADER_SIZE, 0, 40, 40, strings.len() as u32] {
            raw.extend(word.to_le_bytes());
        }
        raw.extend(types.iter().flat_map(|word| word.to_le_bytes()));
        raw.extend(strings);
        BtfFile::from_raw(raw).expect("valid BTF")
    }

    fn callback(stands_for: &str, name: &str) -> Callback {
        Callback::for_test(stands_for, name)
    }

    #[test]
    fn a_function_has_the_prototype_of_the_one_that_it_stands_for() {
        let kernel = kernel();
        let callbacks = [
            callback("netkit_open", "netkit_rs_open"),
            callback("netkit_open", "another"),
        ];
        let (written, missing) = section(&kernel, &callbacks).expect("a section");
        assert!(missing.is_empty());
        let module = Btf::from_split_bytes(&written, &kernel.btf).expect("valid split BTF");
        for (name, id) in [("another", 4), ("netkit_rs_open", 5)] {
            assert_eq!(module.resolve_ids_by_name(name).expect(name), [id]);
            let Type::Func(func) = module.resolve_type_by_id(id).expect(name) else {
                panic!("{name} is not a function");
            };
            assert_eq!(func.get_type_id().expect(name), 2);
        }
    }

    #[test]
    fn a_function_that_the_kernel_lacks_is_named() {
        let (_, missing) =
            section(&kernel(), &[callback("netkit_gone", "x")]).expect("a section without it");
        assert_eq!(missing, ["netkit_gone()"]);
    }
}
