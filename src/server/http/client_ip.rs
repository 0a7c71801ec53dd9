//! Client address of a request that may have come through proxies: the one place that decides it.
//!
//! A proxy appends the address of its own peer to a list. The list is walked from its right end as
//! long as the writer is trusted, so what a stranger wrote on the left is never reached. An
//! unreadable element ends the walk at the proxy that let it through.

use std::cell::OnceCell;
use std::net::{IpAddr, SocketAddr};

use super::{Field, HeaderFields, headers};
use crate::counter::ClientPrefix;
use crate::server::net::{ForwardedField, TrustedProxies};

impl ForwardedField {
    fn field(self) -> Field {
        match self {
            Self::XForwardedFor => Field::XForwardedFor,
            Self::Forwarded => Field::Forwarded,
        }
    }

    fn address_in(self, element: &str) -> Option<IpAddr> {
        match self {
            Self::XForwardedFor => address(element),
            Self::Forwarded => address_for(element),
        }
    }
}

impl TrustedProxies {
    /// The client behind a connection from `peer`; none where no trusted proxy has named an address.
    pub fn client(&self, peer: Option<IpAddr>, headers: &impl HeaderFields) -> Option<ClientPrefix> {
        self.address(peer, headers).map(ClientPrefix::of)
    }

    fn address(&self, peer: Option<IpAddr>, headers: &impl HeaderFields) -> Option<IpAddr> {
        let mut client = peer;
        if self.is_trusted(client) {
            // Some proxies append to the line that is there, others add one below it.
            for line in headers.values(self.field.field()).rev() {
                let Some(line) = headers::text(line) else { break };
                let elements = FromTheRight(Some(line)).map(str::trim).filter(|element| !element.is_empty());
                for element in elements {
                    let Some(address) = self.field.address_in(element) else { return client };
                    client = Some(address);
                    if !self.is_trusted(client) {
                        return client;
                    }
                }
            }
        }
        client
    }
}

/// The client of one request, found when it is first needed.
#[derive(Debug)]
pub struct ClientIp<'a, H> {
    proxies: &'a TrustedProxies,
    peer: Option<IpAddr>,
    headers: &'a H,
    prefix: OnceCell<Option<ClientPrefix>>,
}

impl<'a, H: HeaderFields> ClientIp<'a, H> {
    pub fn new(proxies: &'a TrustedProxies, peer: Option<IpAddr>, headers: &'a H) -> Self {
        Self { proxies, peer, headers, prefix: OnceCell::new() }
    }

    pub fn prefix(&self) -> Option<ClientPrefix> {
        *self.prefix.get_or_init(|| self.proxies.client(self.peer, self.headers))
    }

    /// The address itself, looked for at each call; none where no trusted proxy has named one.
    pub fn address(&self) -> Option<IpAddr> {
        self.proxies.address(self.peer, self.headers)
    }

    /// The client whose reads are limited; none for a trusted proxy that asks for itself.
    pub fn reader(&self) -> Option<ClientPrefix> {
        let is_named = self.headers.first(self.proxies.field.field()).is_some();
        if is_named || !self.proxies.is_trusted(self.peer) { self.prefix() } else { None }
    }

    /// True if nobody has named the client, and no stranger on the Internet has its address: perhaps it is a proxy that
    /// isn't trusted, or one that names nobody.
    pub fn may_be_proxy(&self) -> bool {
        let is_named = self.proxies.is_trusted(self.peer) && self.headers.first(self.proxies.field.field()).is_some();
        !is_named && self.peer.is_some_and(is_private)
    }

    /// True if an untrusted peer names a client in a header that proxies write.
    pub fn has_untrusted_forwarded_header(&self) -> bool {
        let is_there = |field| self.headers.first(field).is_some();
        (is_there(Field::XForwardedFor) || is_there(Field::Forwarded)) && !self.proxies.is_trusted(self.peer)
    }
}

/// True for an address of this machine or of a network of its own: loopback, private, link-local, unique local, or
/// behind a provider's NAT.
fn is_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            let [first, second, ..] = address.octets();
            let is_behind_nat = first == 100 && second & 0xc0 == 64;
            address.is_loopback() || address.is_private() || address.is_link_local() || is_behind_nat
        }
        IpAddr::V6(address) => address.is_loopback() || address.is_unique_local() || address.is_unicast_link_local(),
    }
}

/// A list's elements, the last first. Commas in quotes don't separate them. Quotes are paired from the
/// right, so that one which a stranger opened on the left hides nothing.
pub(super) struct FromTheRight<'a>(pub(super) Option<&'a str>);

impl<'a> Iterator for FromTheRight<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let list = self.0?;
        let mut is_quoted = false;
        for (at, byte) in list.bytes().enumerate().rev() {
            match byte {
                b'"' if !is_escaped(list, at) => is_quoted = !is_quoted,
                b',' if !is_quoted => {
                    self.0 = list.get(..at);
                    return list.get(at + 1..);
                }
                _ => {}
            }
        }
        self.0.take()
    }
}

fn is_escaped(text: &str, at: usize) -> bool {
    let before = text.as_bytes().get(..at).unwrap_or_default();
    before.iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1
}

/// An address, which may have a port and, in IPv6, brackets.
fn address(text: &str) -> Option<IpAddr> {
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    let bracketed = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    match bracketed {
        Some(inner) => inner.parse().ok().map(IpAddr::V6),
        None => text.parse().ok().map(|address: SocketAddr| address.ip()),
    }
}

/// The `for` of a Forwarded element; none for `unknown` and names that hide the address.
pub(super) fn address_for(element: &str) -> Option<IpAddr> {
    let mut found = None;
    for pair in element.split(';') {
        let (name, value) = pair.trim().split_once('=')?;
        if name.eq_ignore_ascii_case("for") && found.replace(value).is_some() {
            return None;
        }
    }
    let value = found?;
    address(value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(value))
}

#[cfg(test)]
mod tests {
    use hyper::header::{HeaderMap, HeaderName, HeaderValue};
    use proptest::prelude::*;

    use super::*;

    fn prefix(address: &str) -> Option<ClientPrefix> {
        Some(ClientPrefix::of(address.parse().unwrap()))
    }

    fn trusting(networks: &[&str], field: ForwardedField) -> TrustedProxies {
        let networks = networks.iter().map(|network| network.parse().unwrap()).collect();
        TrustedProxies { networks, unix_socket: false, field }
    }

    fn headers(field: ForwardedField, lines: &[&str]) -> HeaderMap {
        lines.iter().map(|line| (field.field().name(), HeaderValue::from_str(line).unwrap())).collect()
    }

    /// The client behind a proxy at 10.0.0.1, where 10.0.0.0/8 and fd00::/8 are trusted.
    fn behind_proxies(field: ForwardedField, lines: &[&str]) -> Option<ClientPrefix> {
        let proxies = trusting(&["10.0.0.0/8", "fd00::/8"], field);
        proxies.client("10.0.0.1".parse().ok(), &headers(field, lines))
    }

    #[test]
    fn nobody_is_trusted_by_default() {
        let fields: HeaderMap = ["x-forwarded-for", "forwarded", "x-real-ip", "cf-connecting-ip", "true-client-ip"]
            .into_iter()
            .map(|name| (HeaderName::from_static(name), HeaderValue::from_static("192.0.2.9")))
            .collect();
        for peer in ["127.0.0.1", "10.0.0.1", "2001:db8:1:2:3:4:5:6"] {
            assert_eq!(TrustedProxies::default().client(peer.parse().ok(), &fields), prefix(peer));
        }
        assert_eq!(TrustedProxies::default().client(None, &fields), None);
    }

    #[test]
    fn x_forwarded_for_is_walked_from_the_right_to_the_first_stranger() {
        for (lines, client) in [
            (&[][..], "10.0.0.1"),
            (&["192.0.2.9"], "192.0.2.9"),
            (&["198.51.100.1, 192.0.2.9"], "192.0.2.9"),
            (&["198.51.100.1, 192.0.2.9, 10.2.3.4"], "192.0.2.9"),
            (&["198.51.100.1", "192.0.2.9"], "192.0.2.9"),
            (&["198.51.100.1, 192.0.2.9", " 10.2.3.4 , fd00::1"], "192.0.2.9"),
            // Only proxies: the farthest.
            (&["10.9.9.9, 10.2.3.4"], "10.9.9.9"),
            (&["192.0.2.9:4711"], "192.0.2.9"),
            (&["[2001:db8:1:2:3::4]:4711"], "2001:db8:1:2::"),
            (&["[2001:db8:1:2:3::4]"], "2001:db8:1:2::"),
            (&["2001:db8:1:2:3::4"], "2001:db8:1:2::"),
            (&["::ffff:192.0.2.9"], "192.0.2.9"),
            // A mapped address is trusted like the plain one.
            (&["192.0.2.9, ::ffff:10.2.3.4"], "192.0.2.9"),
            (&["192.0.2.9,,", ""], "192.0.2.9"),
            // Unreadable: the proxy that let it through.
            (&["192.0.2.9, unknown"], "10.0.0.1"),
            (&["192.0.2.9, nonsense, 10.2.3.4"], "10.2.3.4"),
            (&["192.0.2.9, 192.0.2.999"], "10.0.0.1"),
            (&["192.0.2.9, <script>alert(1)</script>"], "10.0.0.1"),
        ] {
            assert_eq!(behind_proxies(ForwardedField::XForwardedFor, lines), prefix(client), "{lines:?}");
        }
    }

    #[test]
    fn forwarded_is_walked_from_the_right_as_well() {
        for (lines, client) in [
            (&["for=192.0.2.9"][..], "192.0.2.9"),
            (&["For=198.51.100.1, FOR=192.0.2.9;proto=https;by=10.0.0.1"], "192.0.2.9"),
            (&["for=192.0.2.9, for=10.2.3.4"], "192.0.2.9"),
            (&["for=\"192.0.2.9:4711\""], "192.0.2.9"),
            (&["for=\"[2001:db8:1:2:3::4]:4711\""], "2001:db8:1:2::"),
            (&["for=192.0.2.9;host=\"a,b\\\",c\", for=10.2.3.4"], "192.0.2.9"),
            (&["for=198.51.100.1", "for=192.0.2.9"], "192.0.2.9"),
            // What a stranger opened hides nothing.
            (&["for=\", for=192.0.2.9"], "192.0.2.9"),
            (&["for=192.0.2.9, for=unknown"], "10.0.0.1"),
            (&["for=192.0.2.9, for=_hidden"], "10.0.0.1"),
            (&["for=192.0.2.9, proto=https"], "10.0.0.1"),
            (&["for=192.0.2.9;for=192.0.2.10"], "10.0.0.1"),
            (&["192.0.2.9"], "10.0.0.1"),
        ] {
            assert_eq!(behind_proxies(ForwardedField::Forwarded, lines), prefix(client), "{lines:?}");
        }
    }

    #[test]
    fn only_the_field_that_the_proxies_write_is_read() {
        for (field, other) in [
            (ForwardedField::XForwardedFor, ForwardedField::Forwarded),
            (ForwardedField::Forwarded, ForwardedField::XForwardedFor),
        ] {
            let proxies = trusting(&["10.0.0.0/8"], field);
            let client = proxies.client("10.0.0.1".parse().ok(), &headers(other, &["for=192.0.2.9", "192.0.2.9"]));
            assert_eq!(client, prefix("10.0.0.1"));
        }
    }

    #[test]
    fn a_trusted_proxy_reads_for_itself_without_a_limit_and_for_others_with_theirs() {
        let field = ForwardedField::XForwardedFor;
        let proxies = trusting(&["10.0.0.0/8"], field);
        let reader = |peer: &str, lines: &[&str]| {
            let fields = headers(field, lines);
            ClientIp::new(&proxies, peer.parse().ok(), &fields).reader()
        };
        assert_eq!(reader("10.0.0.1", &[]), None);
        assert_eq!(reader("10.0.0.1", &["192.0.2.9"]), prefix("192.0.2.9"));
        assert_eq!(reader("10.0.0.1", &["unknown"]), prefix("10.0.0.1"));
        assert_eq!(reader("192.0.2.1", &[]), prefix("192.0.2.1"));
    }

    #[test]
    fn a_peer_at_a_private_address_may_be_a_proxy_unless_a_trusted_one_names_the_client() {
        let field = ForwardedField::XForwardedFor;
        let may_be_proxy = |trusted: &[&str], peer: &str, lines: &[&str]| {
            let (proxies, fields) = (trusting(trusted, field), headers(field, lines));
            ClientIp::new(&proxies, peer.parse().ok(), &fields).may_be_proxy()
        };
        for peer in [
            "127.0.0.1",
            "10.255.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.3.4",
            "169.254.1.1",
            "100.64.0.1",
            "100.127.255.255",
            "::1",
            "fc00::1",
            "fdff::1",
            "fe80::1",
            "::ffff:10.0.0.1",
        ] {
            assert!(may_be_proxy(&[], peer, &[]) && may_be_proxy(&[], peer, &["192.0.2.9"]), "{peer}");
        }
        for peer in [
            "192.0.2.1",
            "9.255.255.255",
            "172.15.0.1",
            "172.32.0.1",
            "100.63.0.1",
            "100.128.0.1",
            "2001:db8::1",
            "fe00::1",
        ] {
            assert!(!may_be_proxy(&[], peer, &[]), "{peer}");
        }
        // Readers of an office behind the proxy have private addresses too.
        assert!(!may_be_proxy(&["10.0.0.1/32"], "10.0.0.1", &["192.168.3.4"]));
        assert!(may_be_proxy(&["10.0.0.1/32"], "10.0.0.1", &[]));
        assert!(!may_be_proxy(&[], "unix", &[]));
    }

    #[test]
    fn the_unix_socket_is_trusted_only_if_configured() {
        let fields = headers(ForwardedField::XForwardedFor, &["192.0.2.9"]);
        assert_eq!(trusting(&["0.0.0.0/0"], ForwardedField::XForwardedFor).client(None, &fields), None);
        let proxies = TrustedProxies { unix_socket: true, ..TrustedProxies::default() };
        assert_eq!(proxies.client(None, &fields), prefix("192.0.2.9"));
        assert_eq!(proxies.client("10.0.0.1".parse().ok(), &fields), prefix("10.0.0.1"));
    }

    proptest! {
        /// Whatever a client sends through a proxy that appends, its address is what the proxy saw.
        #[test]
        fn a_client_cannot_change_its_address(
            sent in "[\\x20-\\x7e]{0,60}",
            seen: u32,
            is_forwarded: bool,
            is_on_a_line_of_its_own: bool,
        ) {
            let seen = IpAddr::V4(seen.into());
            let field = if is_forwarded { ForwardedField::Forwarded } else { ForwardedField::XForwardedFor };
            let written = if is_forwarded { format!("for={seen}") } else { seen.to_string() };
            let joined = format!("{sent}, {written}");
            let lines: &[&str] = if is_on_a_line_of_its_own { &[&sent, &written] } else { &[&joined] };
            let proxies = trusting(&["10.0.0.1/32"], field);
            prop_assume!(!proxies.is_trusted(Some(seen)));
            prop_assert_eq!(proxies.client("10.0.0.1".parse().ok(), &headers(field, lines)), Some(ClientPrefix::of(seen)));
        }

        #[test]
        fn any_bytes_are_walked_without_a_panic(bytes: Vec<u8>, is_forwarded: bool) {
            let field = if is_forwarded { ForwardedField::Forwarded } else { ForwardedField::XForwardedFor };
            if let Ok(value) = HeaderValue::from_bytes(&bytes) {
                let fields: HeaderMap = [(field.field().name(), value)].into_iter().collect();
                trusting(&["0.0.0.0/0"], field).client("10.0.0.1".parse().ok(), &fields);
            }
        }
    }
}
