//! Client prefix: the part of an address that one client cannot leave.

use std::net::IpAddr;

/// An IPv4 address, or the /64 of an IPv6 address, in which devices change theirs as they like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClientPrefix(u64);

/// Upper half of an IPv4 client's number. In IPv6 it is multicast, which no client has.
const IPV4: u64 = 0xffff_ffff << 32;

impl ClientPrefix {
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self(IPV4 | u64::from(address.to_bits())),
            IpAddr::V6(address) => Self((address.to_bits() >> 64) as u64),
        }
    }

    pub fn is_ipv4(self) -> bool {
        self.0 & IPV4 == IPV4
    }

    /// The prefix as a number; no other prefix has it.
    pub fn number(self) -> u64 {
        self.0
    }

    /// The client's network, an IPv4 /24 or an IPv6 /48, as a number; no other network has it.
    pub fn network(self) -> u64 {
        if self.is_ipv4() { self.0 & !0xff } else { self.0 >> 16 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(address: &str) -> ClientPrefix {
        ClientPrefix::of(address.parse().unwrap())
    }

    #[test]
    fn a_prefix_is_an_ipv4_address_or_an_ipv6_64() {
        assert_ne!(prefix("192.0.2.1"), prefix("192.0.2.2"));
        assert_eq!(prefix("::ffff:192.0.2.1"), prefix("192.0.2.1"));
        assert_eq!(prefix("2001:db8::1"), prefix("2001:db8::ffff:0:0:1"));
        assert_ne!(prefix("2001:db8::1"), prefix("2001:db8:0:1::1"));
        assert_ne!(prefix("::1"), prefix("0.0.0.0"));
        assert_eq!(prefix("192.0.2.1").network(), prefix("192.0.2.255").network());
        assert_ne!(prefix("192.0.2.1").network(), prefix("192.0.3.1").network());
        assert_eq!(prefix("2001:db8:1:2::1").network(), prefix("2001:db8:1:ffff::1").network());
        assert_ne!(prefix("2001:db8:1::1").network(), prefix("2001:db8:2::1").network());
        assert!(prefix("192.0.2.1").is_ipv4() && !prefix("2001:db8::1").is_ipv4());
    }
}
