// SPDX-License-Identifier: GPL-2.0
//! The module's two parameters: how many netkit devices are served by the Rust driver, and whether that is all of them.
//!
//! The module takes devices over when its livepatch is enabled, and hands them back when the livepatch is disabled. Both
//! need the kernel's locks of network devices, mainly RTNL. If the module cannot get a lock within 10 seconds, some devices
//! stay with the other driver until it can, and the state is `incomplete`. Writing to `takeover` waits once more.

use std::fmt;
use std::fs;

use anyhow::anyhow;
use anyhow::Context;
use anyhow::Error;
use anyhow::Result;
use nix::errno::Errno;
use serde::Serialize;

use super::read_if_there;
use super::MODULE;
use crate::failure::errno;
use crate::failure::Kind;

/// Which driver serves the devices.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Takeover {
    /// The Rust driver serves all devices, and new ones.
    On,
    /// The built-in driver serves all devices, and new ones.
    Off,
    /// RTNL was busy: some devices are still served by the other driver.
    Incomplete,
}

impl Takeover {
    /// Reads the parameter. `None` if the module is not loaded, or is an old build without the parameter.
    pub fn now() -> Result<Option<Self>> {
        let text = read_if_there(file("takeover"))?;
        text.as_deref().map(Self::of).transpose()
    }

    fn of(text: &str) -> Result<Self> {
        match text {
            "on" => Ok(Self::On),
            "off" => Ok(Self::Off),
            "incomplete" => Ok(Self::Incomplete),
            _ => Err(anyhow!(
                "{} has the unknown value {text:?}: is the module newer than this command?",
                file("takeover")
            )),
        }
    }
}

/// The number of devices that the Rust driver serves, in all network namespaces. `None` as for [`Takeover::now`].
pub fn devices() -> Result<Option<usize>> {
    let Some(text) = read_if_there(file("devices"))? else {
        return Ok(None);
    };
    let number = text.parse();
    let number =
        number.with_context(|| format!("{} is not a number: {text:?}", file("devices")))?;
    Ok(Some(number))
}

/// Asks the module, whose livepatch is enabled, to take over all devices. Waits up to 10 seconds for RTNL.
pub fn take_over() -> Result<()> {
    let path = file("takeover");
    fs::write(&path, "1").map_err(|error| {
        let error = Error::new(error).context(format!("cannot write 1 to {path}"));
        match errno(error.as_ref()) {
            Some(Errno::EBUSY) => incomplete(),
            // The transition is over, so this is not a load in progress.
            Some(Errno::EAGAIN) => Kind::Conflict.error(
                "the built-in driver serves all devices, because another livepatch is being loaded or has taken the module's \
                 place: try again; if that does not help, use `netkit-rs unload`, then `netkit-rs load`",
            ),
            Some(Errno::ENODEV | Errno::ENOENT) => Kind::Conflict.error(
                "the module was unloaded or replaced by another livepatch in the meantime (`netkit-rs status` shows the state)",
            ),
            _ => error,
        }
    })
}

/// Checks that the Rust driver serves all devices, and returns their number.
pub fn check_complete() -> Result<Option<usize>> {
    match Takeover::now()? {
        Some(Takeover::Incomplete) => Err(incomplete()),
        Some(Takeover::Off) => Err(Kind::Conflict.error(
            "the module is loaded, but somebody handed its devices back to the built-in driver in the meantime: run \
             `netkit-rs load` again to take them over",
        )),
        Some(Takeover::On) | None => devices(),
    }
}

fn incomplete() -> Error {
    // The number is optional: without it, the message is still right.
    let taken = devices().ok().flatten();
    let taken = taken.map_or("some devices".to_owned(), |number| {
        Count(number).to_string()
    });
    Kind::Timeout.error(format!(
        "the module is loaded, but the kernel's locks of network devices (RTNL) were busy for 10 seconds: {taken} taken over, the \
         others stay with the built-in driver until the locks are free. All devices work. Run `netkit-rs load` again to wait for the \
         others."
    ))
}

fn file(name: &str) -> String {
    format!("{MODULE}/parameters/{name}")
}

/// "1 netkit device", "2 netkit devices".
#[derive(Clone, Copy, Debug)]
pub struct Count(pub usize);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            1 => f.write_str("1 netkit device"),
            number => write!(f, "{number} netkit devices"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states() -> Result<()> {
        assert_eq!(Takeover::of("on")?, Takeover::On);
        assert_eq!(Takeover::of("off")?, Takeover::Off);
        assert_eq!(Takeover::of("incomplete")?, Takeover::Incomplete);
        assert!(Takeover::of("1").is_err());
        Ok(())
    }

    #[test]
    fn incomplete_is_a_timeout() {
        let error = incomplete();
        assert_eq!(Kind::of(&error), Kind::Timeout);
        assert!(error.to_string().contains("netkit-rs load"), "{error}");
    }

    #[test]
    fn counts() {
        assert_eq!(Count(0).to_string(), "0 netkit devices");
        assert_eq!(Count(1).to_string(), "1 netkit device");
    }
}
