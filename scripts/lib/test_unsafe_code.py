# SPDX-License-Identifier: GPL-2.0
"""The rules for `unsafe` on small samples: python3 -B scripts/lib/test_unsafe_code.py"""
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import unsafe_code

CHECK = Path(__file__).resolve().parent.parent / "check-unsafe"
DRIVER = "#![forbid(unsafe_code)]\n"


def found(source):
    return [(item.kind, item.place, item.comment, item.documented) for item in unsafe_code.items(source)]


class Items(unittest.TestCase):
    def test_a_word_in_a_comment_or_a_string_is_none(self):
        self.assertEqual(found('// unsafe { }\nlet text = "unsafe { }"; /* unsafe fn f() */\nlet c = \'"\';'), [])

    def test_a_block_is_told_with_its_function_and_comment(self):
        source = """
impl<T: Driver> Device<T> {
    pub(crate) fn private(&self) -> &T {
        // SAFETY: `netdev_priv()` is
        // an address.
        // INVARIANT: Not this.
        let p = unsafe { f() };
    }
}
"""
        self.assertEqual(found(source), [("block", "Device<T>::private", "`netdev_priv()` is an address.", True)])

    def test_a_comment_may_stand_at_the_top_of_the_statement(self):
        source = "fn f() {\n    // SAFETY: `g()` takes anything.\n    let x = max(\n        unsafe { g() },\n    );\n}\n"
        self.assertEqual(found(source), [("block", "f", "`g()` takes anything.", True)])

    def test_a_blank_line_parts_a_comment_from_the_block(self):
        source = "fn f() {\n    // SAFETY: `g()` takes anything.\n\n    unsafe { g() };\n}\n"
        self.assertEqual(found(source), [("block", "f", "", False)])

    def test_a_function_needs_its_section(self):
        source = "/// Frees.\n///\n/// # Safety\n///\n/// `p` must be valid.\nunsafe fn free(p: *mut u8) {}\n"
        self.assertEqual(found(source), [("fn", "free", "`p` must be valid.", True)])
        self.assertFalse(found("// SAFETY is not this.\nunsafe fn free() {}\n")[0][3])

    def test_a_function_of_a_trait_has_its_section_there(self):
        source = "// SAFETY: `inc()` counts.\nunsafe impl Count for A {\n    unsafe fn dec() {}\n}\n"
        kinds = [(kind, documented) for kind, _, _, documented in found(source)]
        self.assertEqual(kinds, [("impl", True), ("fn", True)])

    def test_a_pointers_type_and_an_attribute_are_none(self):
        self.assertEqual(found("type F = unsafe extern \"C\" fn(u8);\n#[unsafe(no_mangle)]\nfn g() {}\n"), [])

    def test_the_owner_of_an_impl_is_its_type(self):
        source = "// SAFETY: `T` is.\nunsafe impl<T: Fn(u8) -> u8> Sync for Shared<T> {}\n"
        self.assertEqual(found(source)[0][1], "Sync for Shared<T>")

    def test_a_trait_and_a_macro_are_places(self):
        before = "impl Other {\n    fn last() {}\n}\n"
        trait = "/// # Safety\n///\n/// One.\npub(crate) unsafe trait Part {}\n"
        self.assertEqual(found(before + trait)[0][1], "Part")
        macro = "macro_rules! part {\n    () => {\n        // SAFETY: One.\n        unsafe { f() }\n    };\n}\n"
        self.assertEqual(found(before + macro)[0][1], "part")


class Rules(unittest.TestCase):
    """What scripts/check-unsafe says of a tree with one file."""

    def judge(self, name, source):
        with tempfile.TemporaryDirectory() as root:
            path = Path(root) / name
            path.parent.mkdir(parents=True)
            path.write_text(source)
            run = subprocess.run([sys.executable, "-B", CHECK, root], capture_output=True, text=True)
        return run.returncode, run.stderr

    def test_sound_files_pass(self):
        self.assertEqual(self.judge("src/netkit/xmit.rs", DRIVER), (0, ""))
        sound = "fn f() {\n    // SAFETY: `g()` takes anything.\n    unsafe { g() };\n}\n"
        self.assertEqual(self.judge("src/net/skb.rs", sound), (0, ""))

    def test_the_driver_has_no_unsafe_whatever_the_comment(self):
        source = DRIVER + "fn f() {\n    // SAFETY: `g()` takes anything.\n    unsafe { g() };\n}\n"
        status, says = self.judge("src/netkit/xmit.rs", source)
        self.assertEqual(status, 1)
        self.assertIn("src/netkit/xmit.rs:4: unsafe code in a driver file", says)

    def test_the_driver_forbids_it(self):
        status, says = self.judge("src/netkit/xmit.rs", "fn f() {}\n")
        self.assertEqual(status, 1)
        self.assertIn("lacks #![forbid(unsafe_code)]", says)

    def test_a_block_without_a_comment_fails_anywhere(self):
        for name in ("src/net/skb.rs", "selftests/src/main.rs", "netkit-aya/src/lib.rs"):
            status, says = self.judge(name, "fn f() {\n    unsafe { g() };\n}\n")
            self.assertEqual(status, 1)
            self.assertIn(f"{name}:2: unsafe block without a `SAFETY:` comment", says)

    def test_a_comment_in_the_wrappers_names_what_it_rests_on(self):
        vague = "fn f() {\n    // SAFETY: The device is valid.\n    unsafe { g() };\n}\n"
        status, says = self.judge("src/net/device.rs", vague)
        self.assertEqual(status, 1)
        self.assertIn("src/net/device.rs:3: the comment names nothing that could be checked", says)


if __name__ == "__main__":
    unittest.main()
