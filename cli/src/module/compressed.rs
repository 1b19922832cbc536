// SPDX-License-Identifier: GPL-2.0
//! Compressed module files, as distributions install them: netkit_rs.ko.xz, .ko.zst, .ko.gz.
//!
//! The command always unpacks the file, to check that it is the right module for this kernel. If the kernel can unpack the
//! format, it gets the file itself, so that checks of files (IMA, LoadPin) work. Otherwise it gets the unpacked bytes.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::anyhow;
use anyhow::Result;
use nix::errno::Errno;
use nix::kmod::finit_module;
use nix::kmod::init_module;
use nix::kmod::ModuleInitFlags;

use super::read_if_there;

/// `MODULE_INIT_COMPRESSED_FILE`, which nix does not know.
const COMPRESSED_FILE: ModuleInitFlags = ModuleInitFlags::from_bits_retain(4);

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Format {
    Gzip,
    Xz,
    Zstd,
}

impl fmt::Display for Format {
    /// The kernel's name of the format (/sys/module/compression).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gzip => "gzip",
            Self::Xz => "xz",
            Self::Zstd => "zstd",
        })
    }
}

impl Format {
    pub const SUFFIXES: [(&'static str, Self); 3] =
        [("xz", Self::Xz), ("zst", Self::Zstd), ("gz", Self::Gzip)];

    /// The format of data that begins with these bytes. File names do not matter.
    fn of(bytes: &[u8]) -> Option<Self> {
        let magics: [(&[u8], Self); 3] = [
            (b"\x1f\x8b", Self::Gzip),
            (b"\xfd7zXZ\0", Self::Xz),
            (b"\x28\xb5\x2f\xfd", Self::Zstd),
        ];
        let known = magics
            .into_iter()
            .find(|(magic, _)| bytes.starts_with(magic));
        known.map(|(_, format)| format)
    }

    /// Whether a kernel that knows the format can unpack this file. The kernel's xz supports no checksum but CRC32; the command
    /// `xz` makes CRC64 by default.
    fn suits_the_kernel(self, bytes: &[u8]) -> bool {
        const CHECK: usize = 7;
        match self {
            Self::Xz => matches!(bytes.get(CHECK), Some(0 | 1)),
            Self::Gzip | Self::Zstd => true,
        }
    }

    fn unpack(self, mut bytes: &[u8]) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        match self {
            Self::Gzip => {
                flate2::read::MultiGzDecoder::new(bytes).read_to_end(&mut out)?;
            }
            Self::Xz => {
                lzma_rs::xz_decompress(&mut bytes, &mut out)
                    .map_err(|error| anyhow!("{error:?}"))?;
            }
            Self::Zstd => {
                ruzstd::StreamingDecoder::new(bytes)
                    .map_err(|error| anyhow!("{error}"))?
                    .read_to_end(&mut out)?;
            }
        }
        Ok(out)
    }
}

/// A module's file, and what is in it.
pub struct ModuleFile {
    file: File,
    format: Option<Format>,
    suits_the_kernel: bool,
    /// The module itself.
    pub bytes: Vec<u8>,
}

impl ModuleFile {
    pub fn open(path: &Path) -> Result<Self> {
        let mut file = File::open(path)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let format = Format::of(&bytes);
        let suits_the_kernel = format.is_some_and(|format| format.suits_the_kernel(&bytes));
        if let Some(format) = format {
            let unpacked = format.unpack(&bytes);
            bytes = unpacked.map_err(|error| {
                anyhow!("it looks {format}-compressed, but is damaged: {error:#}")
            })?;
        }
        Ok(Self {
            file,
            format,
            suits_the_kernel,
            bytes,
        })
    }

    /// Hands it to the kernel.
    pub fn insert(&self) -> Result<(), Errno> {
        let Some(format) = self.format else {
            return finit_module(&self.file, c"", ModuleInitFlags::empty());
        };
        // A kernel that cannot unpack anything has no such file.
        let known = read_if_there("/sys/module/compression").ok().flatten();
        if self.suits_the_kernel && known.is_some_and(|known| known == format.to_string()) {
            return finit_module(&self.file, c"", COMPRESSED_FILE);
        }
        init_module(&self.bytes, c"")
    }
}

/// Whether a file's name is that of the module, compressed or not.
pub fn is_named(name: &str, module: &str) -> bool {
    let Some(rest) = name.strip_prefix(module) else {
        return false;
    };
    let suffix = rest.strip_prefix('.');
    rest.is_empty()
        || Format::SUFFIXES
            .iter()
            .any(|(known, _)| suffix == Some(*known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats() {
        assert_eq!(Format::of(b"\x7fELF"), None);
        assert_eq!(Format::of(b""), None);
        assert_eq!(Format::of(b"\x1f\x8b\x08"), Some(Format::Gzip));
    }

    /// "netkit\n", packed by gzip -n, xz --check=crc32 and zstd.
    #[test]
    fn unpacked() -> Result<()> {
        let packed: [&[u8]; 3] = [GZIP, XZ, ZSTD];
        for bytes in packed {
            let format = Format::of(bytes).ok_or_else(|| anyhow!("no format"))?;
            assert_eq!(format.unpack(bytes)?, b"netkit\n", "{format}");
            assert!(
                format.unpack(&bytes[..bytes.len() / 2]).is_err(),
                "{format}"
            );
        }
        Ok(())
    }

    #[test]
    fn checks_of_xz() {
        assert!(Format::Xz.suits_the_kernel(XZ));
        let mut crc64 = XZ.to_vec();
        crc64[7] = 4;
        assert!(!Format::Xz.suits_the_kernel(&crc64));
        assert!(!Format::Xz.suits_the_kernel(&XZ[..6]));
    }

    #[test]
    fn names() {
        for name in ["n.ko", "n.ko.xz", "n.ko.zst", "n.ko.gz"] {
            assert!(is_named(name, "n.ko"), "{name}");
        }
        for name in ["n.ko.bz2", "n.kox", "n.ko.", "an.ko", "n"] {
            assert!(!is_named(name, "n.ko"), "{name}");
        }
    }

    const GZIP: &[u8] =
        b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xcb\x4b\x2d\xc9\xce\x2c\xe1\x02\x00\x61\
        \xe5\x29\x12\x07\x00\x00\x00";
    const XZ: &[u8] =
        b"\xfd\x37\x7a\x58\x5a\x00\x00\x01\x69\x22\xde\x36\x02\x00\x21\x01\x16\x00\x00\x00\
        \x74\x2f\xe5\xa3\x01\x00\x06\x6e\x65\x74\x6b\x69\x74\x0a\x00\x00\x61\xe5\x29\x12\
        \x00\x01\x1b\x07\x12\xeb\xd4\x17\x90\x42\x99\x0d\x01\x00\x00\x00\x00\x01\x59\x5a";
    const ZSTD: &[u8] =
        b"\x28\xb5\x2f\xfd\x04\x58\x39\x00\x00\x6e\x65\x74\x6b\x69\x74\x0a\x80\xf9\x25\x29";
}
