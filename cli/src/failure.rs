// SPDX-License-Identifier: GPL-2.0
//! The kinds of failure that a script can tell apart: the exit status of the command.

use std::error::Error as StdError;
use std::fmt;
use std::io;

use anyhow::Error;
use nix::errno::Errno;

/// The kinds of failure. Their numbers are exit statuses, documented in the manual page: they do not change.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// Any other failure: the message says which.
    Failed = 1,
    /// The arguments contradict each other.
    Usage = 2,
    /// The command needs root, or the kernel allows the operation to nobody.
    Permission = 3,
    /// Something does not exist: a device, a program, a link, a file, the module, netkit itself.
    Absent = 4,
    /// A conflict: something exists already, is in use, or has changed in the meantime.
    Conflict = 5,
    /// The operation has begun, but did not finish in time. The same command continues it.
    Timeout = 6,
}

impl Kind {
    /// An error of this kind.
    pub fn error(self, message: impl Into<String>) -> Error {
        Error::new(Failure {
            kind: self,
            message: message.into(),
        })
    }

    /// The kind of any error.
    pub fn of(error: &Error) -> Self {
        let failure = error
            .chain()
            .find_map(|cause| cause.downcast_ref::<Failure>());
        match (failure, errno(error.as_ref())) {
            (Some(failure), _) => failure.kind,
            (None, Some(Errno::EPERM | Errno::EACCES)) => Self::Permission,
            (None, Some(Errno::ENOENT)) => Self::Absent,
            _ => Self::Failed,
        }
    }

    /// Its name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Usage => "usage",
            Self::Permission => "permission",
            Self::Absent => "absent",
            Self::Conflict => "conflict",
            Self::Timeout => "timeout",
        }
    }
}

#[derive(Debug)]
struct Failure {
    kind: Kind,
    message: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for Failure {}

/// The errno of the kernel that caused an error, if there is one.
pub fn errno(error: &(dyn StdError + 'static)) -> Option<Errno> {
    let mut next = Some(error);
    while let Some(error) = next {
        let io = error.downcast_ref::<io::Error>();
        let code = io.and_then(io::Error::raw_os_error).map(Errno::from_raw);
        if let Some(errno) = code.or_else(|| error.downcast_ref().copied()) {
            return Some(errno);
        }
        next = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn a_kind_survives_context() {
        let error = Kind::Conflict.error("in the way").context("loading");
        assert_eq!(Kind::of(&error), Kind::Conflict);
        assert_eq!(format!("{error:#}"), "loading: in the way");
    }

    #[test]
    fn an_errno_is_found() {
        let no = io::Error::from_raw_os_error(libc::ENOENT);
        let error = Err::<(), _>(no).context("reading").expect_err("an error");
        assert_eq!(errno(error.as_ref()), Some(Errno::ENOENT));
        assert_eq!(Kind::of(&error), Kind::Absent);
        assert_eq!(Kind::of(&Error::new(Errno::EPERM)), Kind::Permission);
        assert_eq!(Kind::of(&anyhow::anyhow!("no")), Kind::Failed);
    }
}
