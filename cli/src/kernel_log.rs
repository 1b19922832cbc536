// SPDX-License-Identifier: GPL-2.0
//! What the module writes to the kernel log from a moment on: the reason why a load was refused.

use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::io::Read;
use std::io::Seek;
use std::io::SeekFrom;
use std::os::unix::fs::OpenOptionsExt;

const PREFIX: &str = "netkit_rs: ";

pub struct KernelLog(File);

impl KernelLog {
    /// The log from now on.
    pub fn from_now() -> io::Result<Self> {
        let mut file = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NONBLOCK)
            .open("/dev/kmsg")?;
        file.seek(SeekFrom::End(0))?;
        Ok(Self(file))
    }

    /// The newest line of the module, without its name.
    pub fn newest(&mut self) -> Option<String> {
        let mut newest = None;
        // One read, one record; longer ones do not exist.
        let mut record = [0; 8192];
        loop {
            match self.0.read(&mut record) {
                Ok(0) => return newest,
                Ok(len) => {
                    if let Some(text) = own_text(&String::from_utf8_lossy(&record[..len])) {
                        newest = Some(text.to_owned());
                    }
                }
                // The ring has overtaken us: what is lost is lost, go on behind it.
                Err(error) if error.raw_os_error() == Some(libc::EPIPE) => {}
                Err(_) => return newest,
            }
        }
    }
}

/// The text of a record ("6,1234,5678,-;text", then lines of properties) if the module wrote it.
fn own_text(record: &str) -> Option<&str> {
    let (_, text) = record.split_once(';')?;
    text.lines().next()?.strip_prefix(PREFIX)
}

#[cfg(test)]
mod tests {
    use super::own_text;

    #[test]
    fn a_record_of_the_module() {
        let record =
            "3,712,5312,-;netkit_rs: the running kernel is another build\n SUBSYSTEM=net\n";
        assert_eq!(
            own_text(record),
            Some("the running kernel is another build")
        );
    }

    #[test]
    fn records_of_others() {
        assert_eq!(
            own_text("6,1,2,-;livepatch: enabling patch 'netkit_rs'"),
            None
        );
        assert_eq!(own_text("no record"), None);
    }
}
