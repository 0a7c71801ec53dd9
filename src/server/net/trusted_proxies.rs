//! Trusted proxies: the peers whose word about the client is taken.

use std::net::IpAddr;

use ipnet::IpNet;

/// Proxies that name the client in a header field; by default none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedProxies {
    pub networks: Vec<IpNet>,
    /// Every peer of the unix socket is one.
    pub unix_socket: bool,
    pub field: ForwardedField,
}

/// The one header field that the proxies write: a client could set any other through them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ForwardedField {
    #[default]
    XForwardedFor,
    /// RFC 7239.
    Forwarded,
}

impl TrustedProxies {
    /// True for a trusted proxy. A peer without an address is on the unix socket.
    pub fn is_trusted(&self, peer: Option<IpAddr>) -> bool {
        match peer {
            Some(address) => self.networks.iter().any(|network| network.contains(&address.to_canonical())),
            None => self.unix_socket,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_trusted_by_its_network_in_either_notation() {
        let proxies = TrustedProxies { networks: vec!["10.0.0.0/8".parse().unwrap()], ..TrustedProxies::default() };
        assert!(proxies.is_trusted("10.1.2.3".parse().ok()) && proxies.is_trusted("::ffff:10.1.2.3".parse().ok()));
        assert!(!proxies.is_trusted("192.0.2.1".parse().ok()) && !proxies.is_trusted(None));
        assert!(TrustedProxies { unix_socket: true, ..proxies }.is_trusted(None));
    }
}
