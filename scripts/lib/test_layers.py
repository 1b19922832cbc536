# SPDX-License-Identifier: GPL-2.0
"""The tests of scripts/check-layers, on small trees: python3 -B scripts/lib/test_layers.py"""
import tempfile
import unittest
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path

LOADER = SourceFileLoader("check_layers", str(Path(__file__).resolve().parent.parent / "check-layers"))
check_layers = module_from_spec(spec_from_loader("check_layers", LOADER))
LOADER.exec_module(check_layers)

SOUND = {
    "net/mod.rs": "pub(crate) mod rtnl;\n\npub(crate) mod device;\n",
    "net/rtnl.rs": "use crate::bindings;\n",
    "net/device.rs": "use super::rtnl::{self, Rtnl};\nuse crate::{\n    bindings,\n    errno::to_result, //\n};\n// netkit\n",
    "bpf/mod.rs": "pub(crate) mod prog;\n",
    "bpf/prog.rs": "use crate::net::device::Device;\nfn f() { bindings::netkit_rs_shim() }\n",
    "netkit/uapi.rs": "use crate::bindings;\nconst A: u32 = bindings::IFLA_NETKIT_MODE;\n",
}


class Test(unittest.TestCase):
    def judge(self, **files):
        """What the check says of the sound tree with these files in it ("__" is "/")."""
        with tempfile.TemporaryDirectory() as folder:
            for name, text in {**SOUND, **{f"{k.replace('__', '/')}.rs": v for k, v in files.items()}}.items():
                path = Path(folder, "src", name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
            return list(check_layers.problems(Path(folder)))

    def test_sound(self):
        self.assertEqual(self.judge(), [])

    def test_upwards_within_a_layer(self):
        found = self.judge(net__rtnl="use super::device::NetDevice;\n")
        self.assertEqual(found, ["src/net/rtnl.rs: uses device, which src/net/mod.rs lists after it"])

    def test_upwards_to_another_layer(self):
        for text in ("use crate::{bindings, bpf::prog::Prog};", "fn f(p: &crate::bpf::prog::Prog) {}"):
            self.assertEqual(self.judge(net__device=text), ["src/net/device.rs: net must not use bpf::prog::Prog"])

    def test_glob(self):
        self.assertIn("a glob of the bindings", self.judge(bpf__prog="use crate::bindings::*;")[0])
        self.assertIn("a glob of the bindings", self.judge(netkit__pair="use crate::{bindings::*, errno};")[0])

    def test_what_the_driver_takes(self):
        self.assertIn("the driver takes", self.judge(netkit__pair="use crate::bindings::IFLA_ADDRESS;")[0])
        self.assertIn("the driver takes", self.judge(netkit__uapi="use crate::bindings;\nfn f() { bindings::rtnl_lock() }")[0])

    def test_name_of_a_driver(self):
        found = self.judge(bpf__prog="fn f() { bindings::netkit_link_ops }")
        self.assertIn("a wrapper that knows a driver by name", found[0])

    def test_unknown_layer(self):
        self.assertIn("does not know", self.judge(other="")[0])


if __name__ == "__main__":
    unittest.main()
