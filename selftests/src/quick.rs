// SPDX-License-Identifier: GPL-2.0
//! The quick subset (`--quick`): the tests of what could differ between kernels. It takes a few minutes. `make kernels`
//! runs it on every kernel.

/// By the beginning of their names: everything about programs, links and settings, and a part of each other feature.
const NAMES: &[&str] = &[
    "attach::",
    "big_tcp::stream4",
    "carrier::",
    "change::",
    "command::attach_by_a_link",
    "command::status_lists_programs",
    "create::",
    "delete::",
    "forward::",
    "invalid::",
    "lease::",
    "lifecycle::unload_waits",
    "limits::",
    "links::",
    "order::",
    "packet::",
    "policy::",
    "query::",
    "redirect::",
    "redirect_peer::",
    "room::",
    "scrub::",
    "show::",
    "single::",
    "symbols::",
    "takeover::deletions",
    "takeover::hitless",
    "takeover::kinds",
    "takeover::same",
    "verdict::",
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
