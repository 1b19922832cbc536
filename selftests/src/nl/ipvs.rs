// SPDX-License-Identifier: GPL-2.0
//! Virtual services over generic netlink (family "IPVS"): as much of it as a service with one server needs.

use std::net::Ipv4Addr;

use super::attr::Attrs;
use super::genl::Family;
use super::Answer;

const IPVS_CMD_NEW_SERVICE: u8 = 1;
const IPVS_CMD_NEW_DEST: u8 = 5;
const IPVS_CMD_ATTR_SERVICE: u16 = 1;
const IPVS_CMD_ATTR_DEST: u16 = 2;
const IPVS_SVC_ATTR_AF: u16 = 1;
const IPVS_SVC_ATTR_PROTOCOL: u16 = 2;
const IPVS_SVC_ATTR_ADDR: u16 = 3;
const IPVS_SVC_ATTR_PORT: u16 = 4;
const IPVS_SVC_ATTR_SCHED_NAME: u16 = 6;
const IPVS_SVC_ATTR_FLAGS: u16 = 7;
const IPVS_SVC_ATTR_TIMEOUT: u16 = 8;
const IPVS_SVC_ATTR_NETMASK: u16 = 9;
const IPVS_DEST_ATTR_ADDR: u16 = 1;
const IPVS_DEST_ATTR_PORT: u16 = 2;
const IPVS_DEST_ATTR_FWD_METHOD: u16 = 3;
const IPVS_DEST_ATTR_WEIGHT: u16 = 4;
const IPVS_DEST_ATTR_U_THRESH: u16 = 5;
const IPVS_DEST_ATTR_L_THRESH: u16 = 6;

/// How packets get to the server (`IP_VS_CONN_F_*`).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Method {
    /// Addresses are changed (NAT).
    Masquerade = 0,
    /// The server has the service's address itself.
    DirectRoute = 3,
}

/// A service: packets of a protocol (`IPPROTO_*`) for an address and port.
pub struct Service {
    pub protocol: i32,
    pub ip: Ipv4Addr,
    pub port: u16,
}

impl Service {
    fn attrs(&self) -> Attrs {
        let mut attrs = Attrs::new();
        attrs
            .u16(IPVS_SVC_ATTR_AF, libc::AF_INET as u16)
            .u16(IPVS_SVC_ATTR_PROTOCOL, self.protocol as u16)
            .put(IPVS_SVC_ATTR_ADDR, &address(self.ip))
            .put(IPVS_SVC_ATTR_PORT, &self.port.to_be_bytes());
        attrs
    }
}

/// `union nf_inet_addr`.
fn address(ip: Ipv4Addr) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&ip.octets());
    bytes
}

/// Makes a service of the calling thread's network namespace, with one server at the same port.
pub fn serve(service: &Service, server: Ipv4Addr, method: Method) -> Answer<()> {
    let ipvs = Family::open("IPVS")?;
    let mut full = service.attrs();
    // struct ip_vs_flags: no flags, of none.
    full.str(IPVS_SVC_ATTR_SCHED_NAME, "rr")
        .put(IPVS_SVC_ATTR_FLAGS, &[0; 8])
        .u32(IPVS_SVC_ATTR_TIMEOUT, 0)
        .put(IPVS_SVC_ATTR_NETMASK, &[0xff; 4]);
    let mut request = Attrs::new();
    request.nest(IPVS_CMD_ATTR_SERVICE, &[], &full);
    ipvs.ask(IPVS_CMD_NEW_SERVICE, &request)?;

    let mut dest = Attrs::new();
    dest.put(IPVS_DEST_ATTR_ADDR, &address(server))
        .put(IPVS_DEST_ATTR_PORT, &service.port.to_be_bytes())
        .u32(IPVS_DEST_ATTR_FWD_METHOD, method as u32)
        .u32(IPVS_DEST_ATTR_WEIGHT, 1)
        .u32(IPVS_DEST_ATTR_U_THRESH, 0)
        .u32(IPVS_DEST_ATTR_L_THRESH, 0);
    let mut request = Attrs::new();
    request
        .nest(IPVS_CMD_ATTR_SERVICE, &[], &service.attrs())
        .nest(IPVS_CMD_ATTR_DEST, &[], &dest);
    ipvs.ask(IPVS_CMD_NEW_DEST, &request).map(drop)
}
