// SPDX-License-Identifier: GPL-2.0
//! Which programs run on one side of a pair.

use aya::programs::ProgramError;

use crate::sys;
use crate::NetkitAttachType;
use crate::NetworkInterface;

/// The kernel's own limit (`BPF_MPROG_MAX`), and one more.
const ROOM: usize = 65;

/// One attached program.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct NetkitProgram {
    /// The program's id.
    pub id: u32,
    /// The id of the link that holds it; `None` if it was attached without one.
    pub link_id: Option<u32>,
}

/// The programs of one side, in the order in which they run.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct NetkitQuery {
    /// Grows with every change: what
    /// [`NetkitOptions::expected_revision`](crate::NetkitOptions::expected_revision) expects.
    pub revision: u64,
    /// The programs.
    pub programs: Vec<NetkitProgram>,
}

/// Asks for the programs on one side of the pair whose primary is `interface`.
///
/// ```no_run
/// # use netkit_aya::NetkitAttachType;
/// let side = netkit_aya::query("nk0", NetkitAttachType::Peer)?;
/// for program in side.programs {
///     println!("{} {:?}", program.id, program.link_id);
/// }
/// # Ok::<(), aya::programs::ProgramError>(())
/// ```
pub fn query<'a>(
    interface: impl Into<NetworkInterface<'a>>,
    attach_type: NetkitAttachType,
) -> Result<NetkitQuery, ProgramError> {
    let mut progs = [0u32; ROOM];
    let mut links = [0u32; ROOM];
    let mut attr = sys::ProgQuery {
        target_ifindex: interface.into().if_index()?,
        attach_type: attach_type.to_raw(),
        prog_ids: progs.as_mut_ptr() as u64,
        link_ids: links.as_mut_ptr() as u64,
        count: ROOM as u32,
        ..Default::default()
    };
    // SAFETY: both arrays are valid for writes of `count` elements, and outlive the call.
    unsafe { sys::bpf(&mut attr) }?;
    let programs = progs
        .iter()
        .zip(&links)
        .take(attr.count as usize)
        .map(|(&id, &link)| NetkitProgram {
            id,
            link_id: Some(link).filter(|id| *id != 0),
        })
        .collect();
    Ok(NetkitQuery {
        revision: attr.revision,
        programs,
    })
}
