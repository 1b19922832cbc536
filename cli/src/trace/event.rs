// SPDX-License-Identifier: GPL-2.0
//! A packet that a netkit device has sent: as the BPF program reports it, and as it is printed.

use std::fmt;
use std::net::IpAddr;

use serde::Serialize;

use super::names::Names;
use super::verdicts::Verdicts;
use crate::device::Role;
use crate::netlink::text;

/// The flags of bpf/trace.h.
const FREED: u8 = 1;
const NO_PORTS: u8 = 2;

const ETH_P_IP: u16 = libc::ETH_P_IP as u16;
const ETH_P_IPV6: u16 = libc::ETH_P_IPV6 as u16;

/// `struct device` of bpf/trace.h.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct RawDevice {
    pub netns: u32,
    pub ifindex: u32,
    name: [u8; 16],
}

/// `struct ran` of bpf/trace.h.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
struct RawRan {
    program: u32,
    verdict: i32,
}

/// `struct event` of bpf/trace.h.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Raw {
    time: u64,
    skb: u64,
    from: RawDevice,
    to: RawDevice,
    len: u32,
    mark: u32,
    cpu: u32,
    reason: u32,
    verdict: u32,
    protocol: u16,
    source_port: u16,
    destination_port: u16,
    transport: u8,
    flags: u8,
    source: [u8; 16],
    destination: [u8; 16],
    count: u32,
    programs: [RawRan; 8],
}

impl Raw {
    /// `None` if the record has another size.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        if bytes.len() != size_of::<Self>() {
            return None;
        }
        // SAFETY: The bytes are as many as the struct has, and every bit pattern is a valid `Raw`, which has only integers.
        Some(unsafe { bytes.as_ptr().cast::<Self>().read_unaligned() })
    }

    fn address(&self, bytes: &[u8; 16]) -> Option<IpAddr> {
        let [a, b, c, d, ..] = *bytes;
        match self.protocol {
            ETH_P_IP => Some([a, b, c, d].into()),
            ETH_P_IPV6 => Some((*bytes).into()),
            _ => None,
        }
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The peer's stack has it.
    Pass,
    Drop,
    Redirect,
    /// None of the three was seen.
    Unknown,
}

#[derive(Clone, Debug, Serialize)]
pub struct Device {
    pub name: String,
    pub ifindex: u32,
    /// The name of its namespace, or else `net:[INODE]`; `None` for the namespace of the command.
    pub namespace: Option<String>,
}

impl Device {
    /// `None` for a device that was not seen.
    fn new(raw: &RawDevice, names: &mut Names) -> Option<Self> {
        (raw.ifindex != 0).then(|| Self {
            name: text(&raw.name),
            ifindex: raw.ifindex,
            namespace: names.namespace(raw.netns),
        })
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        match &self.namespace {
            Some(namespace) => write!(f, " in {namespace}"),
            None => Ok(()),
        }
    }
}

/// A program that has run, and what it returned.
#[derive(Clone, Debug, Serialize)]
pub struct Ran {
    pub id: u32,
    pub name: Option<String>,
    /// `next`, `pass`, `drop`, `redirect`, or another number.
    pub verdict: String,
}

impl Ran {
    fn new(raw: &RawRan, verdicts: &Verdicts) -> Self {
        let verdict = match raw.verdict {
            -1 => "next".to_owned(),
            0 => "pass".to_owned(),
            2 => "drop".to_owned(),
            7 => "redirect".to_owned(),
            other => other.to_string(),
        };
        Self {
            id: raw.program,
            name: verdicts.name(raw.program),
            verdict,
        }
    }
}

/// A packet. The keys in JSON are these fields; the manual page documents them.
#[derive(Clone, Debug, Serialize)]
pub struct Event {
    /// Seconds since 1970.
    pub time: f64,
    /// Seconds since the trace began.
    #[serde(skip)]
    pub elapsed: f64,
    pub device: Device,
    /// The role of the device in its pair; `None` if the device has gone.
    pub role: Option<Role>,
    pub verdict: Verdict,
    /// Why it was dropped, by the driver or after a redirect: the kernel's name without SKB_DROP_REASON_.
    pub reason: Option<String>,
    /// The device that has received it, or that sends it after a redirect.
    pub to: Option<Device>,
    /// In bytes, with the Ethernet header.
    pub length: u32,
    /// The programs in the order in which they ran: the first eight of those that have BTF.
    pub programs: Vec<Ran>,
    pub mark: u32,
    pub cpu: u32,
    /// The protocol in the Ethernet header.
    pub ethertype: u16,
    /// The protocol in the IP header.
    pub protocol: Option<u8>,
    pub source: Option<IpAddr>,
    pub source_port: Option<u16>,
    pub destination: Option<IpAddr>,
    pub destination_port: Option<u16>,
}

/// The clocks at the beginning of the trace.
#[derive(Clone, Copy)]
pub struct Clock {
    /// Nanoseconds of CLOCK_MONOTONIC, which BPF programs read.
    pub monotonic: u64,
    /// Seconds since 1970.
    pub real: f64,
}

impl Event {
    pub fn new(raw: &Raw, clock: Clock, names: &mut Names, verdicts: &Verdicts) -> Option<Self> {
        let elapsed = raw.time.saturating_sub(clock.monotonic) as f64 / 1e9;
        let verdict = match raw.verdict {
            1 => Verdict::Pass,
            2 => Verdict::Drop,
            3 => Verdict::Redirect,
            _ => Verdict::Unknown,
        };
        let source = raw.address(&raw.source);
        let ports =
            source.is_some() && [6, 17].contains(&raw.transport) && raw.flags & NO_PORTS == 0;
        Some(Self {
            time: clock.real + elapsed,
            elapsed,
            device: Device::new(&raw.from, names)?,
            role: names.role(&raw.from),
            verdict,
            reason: (raw.flags & FREED != 0).then(|| names.reason(raw.reason)),
            to: Device::new(&raw.to, names).filter(|_| verdict != Verdict::Drop),
            length: raw.len,
            programs: raw
                .programs
                .iter()
                .take(raw.count as usize)
                .map(|ran| Ran::new(ran, verdicts))
                .collect(),
            mark: raw.mark,
            cpu: raw.cpu,
            ethertype: raw.protocol,
            protocol: source.map(|_| raw.transport),
            source,
            source_port: ports.then_some(raw.source_port),
            destination: raw.address(&raw.destination),
            destination_port: ports.then_some(raw.destination_port),
        })
    }
}

/// What the reason means where a netkit driver gives it.
fn explain(reason: &str) -> Option<&'static str> {
    Some(match reason {
        "TC_EGRESS" => "a program's verdict",
        "TAP_TXFILTER" => "the policy",
        "DEV_READY" => "the peer is down",
        "NO_TX_TARGET" => "there is no peer",
        "PKT_TOO_SMALL" => "shorter than its header",
        "SKB_UCOPY_FAULT" => "its memory could not be copied",
        "CPU_BACKLOG" => "the queue of the receiving CPU is full",
        "NOT_SPECIFIED" => "the built-in driver gives no reason",
        _ => return None,
    })
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:12.6} {}", self.elapsed, self.device)?;
        match self.role {
            Some(Role::Primary) => f.write_str(" (primary)")?,
            Some(Role::Peer) => f.write_str(" (peer)")?,
            None => {}
        }
        f.write_str(": ")?;
        match (self.source, self.destination) {
            (Some(source), Some(destination)) => {
                match self.protocol {
                    Some(1) => f.write_str("ICMP ")?,
                    Some(6) => f.write_str("TCP ")?,
                    Some(17) => f.write_str("UDP ")?,
                    Some(58) => f.write_str("ICMPv6 ")?,
                    Some(other) => write!(f, "IP protocol {other} ")?,
                    None => {}
                }
                end(f, source, self.source_port)?;
                f.write_str(" > ")?;
                end(f, destination, self.destination_port)?;
            }
            _ => write!(f, "protocol {:#06x}", self.ethertype)?,
        }
        write!(f, ", {} bytes: ", self.length)?;
        match (self.verdict, &self.to, &self.reason) {
            (Verdict::Pass, Some(to), _) => write!(f, "passed to {to}"),
            (Verdict::Pass, None, _) => f.write_str("passed"),
            (Verdict::Redirect, to, reason) => {
                f.write_str("redirected")?;
                if let Some(to) = to {
                    write!(f, " to {to}")?;
                }
                match reason {
                    Some(reason) => write!(f, ", and dropped: {reason}"),
                    None => Ok(()),
                }
            }
            (Verdict::Drop, _, Some(reason)) => {
                write!(f, "dropped: {reason}")?;
                match explain(reason) {
                    Some(meaning) => write!(f, " ({meaning})"),
                    None => Ok(()),
                }
            }
            _ => f.write_str("the driver did not finish it"),
        }?;
        for (number, ran) in self.programs.iter().enumerate() {
            let before = if number == 0 { "; " } else { ", " };
            let name = ran.name.as_deref().unwrap_or_default();
            write!(f, "{before}prog:{} {name} said {}", ran.id, ran.verdict)?;
        }
        Ok(())
    }
}

fn end(f: &mut fmt::Formatter<'_>, address: IpAddr, port: Option<u16>) -> fmt::Result {
    match (address, port) {
        (address, None) => write!(f, "{address}"),
        (IpAddr::V4(address), Some(port)) => write!(f, "{address}:{port}"),
        (IpAddr::V6(address), Some(port)) => write!(f, "[{address}]:{port}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(name: &[u8]) -> RawDevice {
        let mut device = RawDevice {
            netns: 1,
            ifindex: 7,
            name: [0; 16],
        };
        device.name[..name.len()].copy_from_slice(name);
        device
    }

    fn event(raw: &Raw) -> Event {
        let clock = Clock {
            monotonic: 1_000_000_000,
            real: 100.0,
        };
        let mut names = Names::for_test(&[(1, "pod")], &[(2, "TC_EGRESS")]);
        Event::new(raw, clock, &mut names, &Verdicts::for_test(3, "filter")).expect("a device")
    }

    fn udp() -> Raw {
        let mut raw = Raw {
            time: 2_500_000_000,
            from: device(b"nk0"),
            len: 42,
            protocol: ETH_P_IP,
            transport: 17,
            source_port: 5,
            destination_port: 53,
            ..Raw::default()
        };
        raw.source[..4].copy_from_slice(&[10, 0, 0, 1]);
        raw.destination[..4].copy_from_slice(&[10, 0, 0, 2]);
        raw
    }

    #[test]
    fn a_passed_packet() {
        let raw = Raw {
            verdict: 1,
            to: device(b"eth0"),
            ..udp()
        };
        let event = event(&raw);
        assert_eq!(event.time, 101.5);
        assert_eq!(
            event.to_string(),
            "    1.500000 nk0 in pod: UDP 10.0.0.1:5 > 10.0.0.2:53, 42 bytes: passed to eth0 in pod"
        );
    }

    #[test]
    fn a_dropped_packet_has_a_reason_and_no_receiver() {
        let raw = Raw {
            verdict: 2,
            flags: FREED,
            reason: 2,
            to: device(b"eth0"),
            ..udp()
        };
        let dropped = event(&raw);
        assert!(dropped.to.is_none());
        let text = dropped.to_string();
        assert!(
            text.ends_with("dropped: TC_EGRESS (a program's verdict)"),
            "{text}"
        );
        let unknown = event(&Raw { reason: 9, ..raw });
        assert_eq!(unknown.reason.as_deref(), Some("9"));
    }

    #[test]
    fn a_packet_that_is_dropped_after_a_redirect() {
        let raw = Raw {
            verdict: 3,
            flags: FREED | NO_PORTS,
            reason: 2,
            to: device(b"eth0"),
            ..udp()
        };
        let text = event(&raw).to_string();
        // The reason is another's, and a later fragment has no ports.
        assert!(
            text.ends_with(
                "UDP 10.0.0.1 > 10.0.0.2, 42 bytes: redirected to eth0 in pod, and dropped: TC_EGRESS"
            ),
            "{text}"
        );
    }

    #[test]
    fn the_programs_have_their_say() {
        let mut raw = Raw {
            verdict: 1,
            count: 2,
            ..udp()
        };
        for (ran, (program, verdict)) in raw.programs.iter_mut().zip([(3, -1), (4, 5)]) {
            *ran = RawRan { program, verdict };
        }
        let text = event(&raw).to_string();
        assert!(
            text.ends_with("passed; prog:3 filter said next, prog:4  said 5"),
            "{text}"
        );
    }

    #[test]
    fn a_packet_without_addresses() {
        let raw = Raw {
            protocol: 0x0806,
            verdict: 3,
            ..udp()
        };
        let event = event(&raw);
        assert_eq!((event.source, event.source_port), (None, None));
        let text = event.to_string();
        assert!(
            text.ends_with("protocol 0x0806, 42 bytes: redirected"),
            "{text}"
        );
    }

    #[test]
    fn a_record_of_another_size_is_refused() {
        let bytes = [0; size_of::<Raw>() + 1];
        assert!(Raw::read(&bytes).is_none());
        assert!(Raw::read(&bytes[1..]).is_some());
    }
}
