//! Who sends a request.

use std::net::{IpAddr, Ipv6Addr};

use super::wire::Wire;

/// The client's address as its requests are told apart by: an IPv6 household has a /64 of them.
pub fn address(wire: &Wire) -> Option<IpAddr> {
    Some(household(wire.peer_address().ok()?.ip()))
}

fn household(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_household_is_one_address() {
        let household = |text: &str| household(text.parse().unwrap()).to_string();
        assert_eq!(household("203.0.113.7"), "203.0.113.7");
        assert_eq!(household("::ffff:203.0.113.7"), "203.0.113.7");
        assert_eq!(household("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
    }
}
