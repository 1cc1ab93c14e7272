//! The address guard: which addresses the host may connect to on somebody else's behalf.
//!
//! Only global unicast passes by itself. Special ranges are those of the IANA special-purpose
//! registries (RFC 6890 and its updates) and the metadata addresses of clouds. Owns no socket and
//! never connects: [`AddressPolicy::resolve`] looks a name up once and checks every address, and
//! callers connect to the addresses it returned, never to the name again, so that a second,
//! different DNS answer has no effect.
//!
//! Rules, in this order:
//! 1. The host's own ports ([`OwnPorts`]) are refused on every address of this machine, and its
//!    remote dependencies at their exact address, whatever else is allowed.
//! 2. A metadata address passes only if it is allowed as itself (`/32`, `/128`), not by a range.
//! 3. What the operator allows passes; where an IPv6 form carries an IPv4 address (mapped,
//!    compatible, NAT64, 6to4), the carried address has to pass as well.
//! 4. Loopback passes if `allow_loopback` is set.
//! 5. Everything else that is not global is refused.
//!
//! What the operator denies at run time ([`AddressRules`]) is refused before rule 2, whatever
//! allows it, also where an IPv6 form carries a denied IPv4 address.
//!
//! A network that reaches IPv4 through NAT64 only (DNS64) needs `64:ff9b::/96` allowed.

use super::error::DialError;
use crate::domain::policy::AddressRules;
use ipnet::IpNet;
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, PoisonError, RwLock};

/// What may be dialed beyond global addresses. The default allows nothing more.
#[derive(Clone, Debug, Default)]
pub struct AddressPolicy {
    /// Ranges the operator opens (private receivers, a chat server in the LAN).
    pub allow: Vec<IpNet>,
    /// 127.0.0.0/8 and ::1, for a host on a developer's machine. Never opens [`OwnPorts`].
    pub allow_loopback: bool,
    pub own: OwnPorts,
    /// What the operator says at run time.
    pub rules: LiveRules,
}

/// The operator's rules, which may change at any time. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct LiveRules(Arc<RwLock<AddressRules>>);

impl LiveRules {
    /// Counts for every connection that is opened from now on.
    pub fn set(&self, rules: AddressRules) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = rules;
    }

    fn look<T>(&self, look: impl FnOnce(&AddressRules) -> T) -> T {
        look(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Where the host itself and its database listen. Clones share one set, which may grow at any
/// time: a listener that binds port 0 knows its port only afterwards.
#[derive(Clone, Debug, Default)]
pub struct OwnPorts(Arc<RwLock<Own>>);

#[derive(Debug, Default)]
struct Own {
    ports: BTreeSet<u16>,
    addresses: BTreeSet<SocketAddr>,
}

/// Why an address is refused; its text completes "leads to …".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal(pub &'static str);

const OWN: Refusal = Refusal("a port of this host itself");
const DENIED: Refusal = Refusal("an address that the operator denies");

impl OwnPorts {
    /// Refuses this port on every address of this machine.
    pub fn add_port(&self, port: u16) {
        let mut own = self.0.write().unwrap_or_else(PoisonError::into_inner);
        own.ports.insert(port);
    }

    /// Refuses one address, also on another machine (a database in an allowed range).
    pub fn add_address(&self, address: SocketAddr) {
        let mut own = self.0.write().unwrap_or_else(PoisonError::into_inner);
        own.addresses.insert(canonical(address));
    }

    fn holds(&self, address: SocketAddr) -> bool {
        let own = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let address = canonical(address);
        own.addresses.contains(&address)
            || (own.ports.contains(&address.port()) && is_of_this_machine(address.ip()))
    }
}

impl AddressPolicy {
    /// May this address be connected to?
    pub fn check(&self, address: SocketAddr) -> Result<(), Refusal> {
        if self.own.holds(address) {
            return Err(OWN);
        }
        self.check_ip(address.ip())
    }

    fn is_denied(&self, ip: IpAddr) -> bool {
        let carried = carried_ipv4(ip).map(IpAddr::V4);
        self.rules.look(|rules| {
            rules.deny.iter().any(|range| {
                range.contains(&ip) || carried.is_some_and(|carried| range.contains(&carried))
            })
        })
    }

    /// Resolves once and checks every address; a single refused one refuses the name. IP literals
    /// in any form (`127.1`, `0x7f.1`, `2130706433`) are what the system's resolver makes of them.
    pub async fn resolve(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, DialError> {
        let addresses = super::dial::look_up(host, port).await?;
        for address in &addresses {
            self.check(*address)
                .map_err(|refusal| DialError::denied(host, *address, refusal))?;
        }
        Ok(addresses)
    }

    fn check_ip(&self, ip: IpAddr) -> Result<(), Refusal> {
        if self.is_denied(ip) {
            return Err(DENIED);
        }
        let Some(refusal) = refusal(ip) else {
            return Ok(());
        };
        let opens = |range: &IpNet| {
            range.contains(&ip)
                && (refusal != METADATA || range.prefix_len() == range.max_prefix_len())
        };
        let allowed =
            self.allow.iter().any(opens) || self.rules.look(|rules| rules.allow.iter().any(opens));
        if allowed {
            return match carried_ipv4(ip) {
                Some(carried) => self.check_ip(IpAddr::V4(carried)),
                None => Ok(()),
            };
        }
        if self.allow_loopback && ip.is_loopback() {
            return Ok(());
        }
        Err(refusal)
    }
}

const METADATA: Refusal = Refusal("a cloud's metadata address");

/// `None`: the address is global unicast.
pub fn refusal(ip: IpAddr) -> Option<Refusal> {
    match ip {
        IpAddr::V4(ip) => refusal_v4(ip),
        IpAddr::V6(ip) => refusal_v6(ip),
    }
    .map(Refusal)
}

fn refusal_v4(ip: Ipv4Addr) -> Option<&'static str> {
    Some(match ip.octets() {
        // AWS, GCP, Azure, OpenStack, Oracle; Azure's wire server; Alibaba; Oracle Classic.
        [169, 254, 169, 254] | [168, 63, 129, 16] | [100, 100, 100, 200] | [192, 0, 0, 192] => {
            METADATA.0
        }
        [0, ..] => "\"this network\" (0.0.0.0/8)",
        [127, ..] => "a loopback address",
        [10, ..] | [192, 168, ..] => "a private address",
        [172, b, ..] if b & 0xf0 == 16 => "a private address",
        [169, 254, ..] => "a link-local address",
        [100, b, ..] if b & 0xc0 == 64 => "a carrier-grade NAT address (100.64.0.0/10)",
        [192, 0, 0, _] => "an address for protocol assignments (192.0.0.0/24)",
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => "a documentation address",
        [192, 88, 99, _] => "a 6to4 relay address (192.88.99.0/24)",
        [198, 18 | 19, ..] => "a benchmarking address (198.18.0.0/15)",
        [255, 255, 255, 255] => "the broadcast address",
        [a, ..] if a >= 240 => "a reserved address (240.0.0.0/4)",
        [a, ..] if a >= 224 => "a multicast address",
        _ => return None,
    })
}

fn refusal_v6(ip: Ipv6Addr) -> Option<&'static str> {
    Some(match ip.segments() {
        // AWS; GCP.
        [0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x254] | [0xfd20, 0x00ce, 0, 0, 0, 0, 0, 0x254] => {
            METADATA.0
        }
        [0, 0, 0, 0, 0, 0, 0, 0] => "the unspecified address",
        [0, 0, 0, 0, 0, 0, 0, 1] => "a loopback address",
        [0, 0, 0, 0, 0, 0xffff, _, _] => "an IPv4-mapped address",
        [0, 0, 0, 0, 0, 0, _, _] => "an IPv4-compatible address",
        [0, 0, 0, 0, 0xffff, 0, _, _] => "an IPv4-translated address",
        [0x64, 0xff9b, 0, 0, 0, 0, _, _] => "a NAT64 address (64:ff9b::/96)",
        [0x64, 0xff9b, 1, ..] => "a NAT64 address (64:ff9b:1::/48)",
        [0x100, 0, 0, 0 | 1, ..] => "a discard address (100::/64)",
        [0x2001, 0, ..] => "a Teredo address (2001::/32)",
        [0x2001, 0xdb8, ..] => "a documentation address",
        [0x2001, b, ..] if b < 0x200 => "an address for protocol assignments (2001::/23)",
        [0x2002, ..] => "a 6to4 address (2002::/16)",
        [0x3fff, b, ..] if b < 0x1000 => "a documentation address",
        [0x5f00, ..] => "an SRv6 address (5f00::/16)",
        [a, ..] if a & 0xfe00 == 0xfc00 => "a unique local address",
        [a, ..] if a & 0xffc0 == 0xfe80 => "a link-local address",
        [a, ..] if a & 0xffc0 == 0xfec0 => "a site-local address",
        [a, ..] if a & 0xff00 == 0xff00 => "a multicast address",
        // Only 2000::/3 is assigned as global unicast.
        [a, ..] if a & 0xe000 != 0x2000 => "a reserved address",
        [_, _, _, _, 0 | 0x200, 0x5efe, _, _] => "an ISATAP address",
        _ => return None,
    })
}

/// The IPv4 address that an IPv6 one stands for.
fn carried_ipv4(ip: IpAddr) -> Option<Ipv4Addr> {
    let IpAddr::V6(ip) = ip else { return None };
    let segments = ip.segments();
    let (high, low) = match segments {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => return None,
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] | [0, 0, 0, 0, 0xffff, 0, high, low] => (high, low),
        [0x64, 0xff9b, 0 | 1, _, _, _, high, low] => (high, low),
        [0x2002, high, low, ..] => (high, low),
        // Teredo carries the client's address with its bits flipped.
        [0x2001, 0, _, _, _, _, high, low] => (!high, !low),
        [_, _, _, _, 0 | 0x200, 0x5efe, high, low] => (high, low),
        _ => return None,
    };
    let [a, b] = high.to_be_bytes();
    let [c, d] = low.to_be_bytes();
    Some(Ipv4Addr::new(a, b, c, d))
}

/// Without an IPv4 address in IPv6 clothes, and without scope and flow.
fn canonical(address: SocketAddr) -> SocketAddr {
    let ip = address.ip();
    let ip = carried_ipv4(ip).map_or(ip, IpAddr::V4);
    SocketAddr::new(ip, address.port())
}

/// Only an address of this machine can be bound; asking the kernel also sees interfaces that come
/// up later. Nothing is sent.
fn is_of_this_machine(ip: IpAddr) -> bool {
    if ip.is_loopback() || ip.is_unspecified() {
        return true;
    }
    match UdpSocket::bind((ip, 0)) {
        Ok(_) => true,
        // Anything else (no free file descriptor) leaves it open, and so refuses.
        Err(error) => error.kind() != ErrorKind::AddrNotAvailable,
    }
}
