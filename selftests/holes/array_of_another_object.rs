// SPDX-License-Identifier: GPL-2.0

//! An attachment point that is no part of the private area.
//!
//! expect: E0200 the trait `HasMprog` requires an `unsafe impl` declaration

use crate::bpf::mprog::{Active, Bundle, HasMprog};

struct Private {
    active: &'static Active,
    bundle: &'static Bundle,
}

impl HasMprog for Private {
    fn active(&self) -> &Active {
        self.active
    }

    fn bundle(&self) -> &Bundle {
        self.bundle
    }
}
