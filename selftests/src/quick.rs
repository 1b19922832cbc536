// SPDX-License-Identifier: GPL-2.0
//! The quick subset (`--quick`): the tests of what could differ between kernels. It takes a few minutes. `make kernels`
//! runs it on every kernel, on the Rust driver.

/// By the beginning of their names: all of what touches structs of the kernel, and a part of each other feature.
const NAMES: &[&str] = &[
    "change::",
    "create::defaults",
    "delete::across_namespaces",
    "dev_switch::",
    "drops::",
    "forward::",
    "lease::",
    "links::update",
    "packet::length_and_header",
    "redirect::peer_",
    "redirect_peer::",
    "scrub::",
    "symbols::",
    "takeover::hitless::one_cycle",
    "takeover::kinds::pairs",
    "takeover::same",
    "tracing::",
    "xdp::",
    "xsk::",
    "zcrx::",
];

pub fn has(test: &str) -> bool {
    NAMES.iter().any(|name| test.starts_with(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_is_a_tests() {
        let tests: Vec<String> = crate::tests::all()
            .into_iter()
            .chain(crate::lifecycle::tests())
            .chain(crate::takeover::tests())
            .map(|test| test.name)
            .collect();
        for name in NAMES {
            assert!(tests.iter().any(|test| test.starts_with(name)), "{name}");
        }
    }
}
