//! Networks of the proxies that are believed.

use std::net::{IpAddr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net};

/// Whose word is taken for who the client is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedProxies {
    pub networks: Vec<IpNet>,
    /// Whoever reaches the unix socket that the node listens on.
    pub unix_socket: bool,
    pub field: ForwardedField,
}

/// The header field in which the proxies say for whom they ask.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ForwardedField {
    #[default]
    XForwardedFor,
    Forwarded,
}

/// How the unix socket is named among networks.
pub const UNIX_SOCKET: &str = "unix:";

/// The network that an address or CIDR notation stands for; else what would be right.
pub fn parse(text: &str) -> Result<IpNet, String> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(address.to_canonical().into());
    }
    match text.parse::<IpNet>() {
        Ok(network) if network.trunc() == network => Ok(canonical(network)),
        Ok(network) => Err(format!(
            "names one address and a whole network; did you mean `{}`, or `{}` alone?",
            network.trunc(),
            network.addr()
        )),
        Err(_) => Err(
            "is neither an address nor a network; expected for example `10.0.0.0/8`, `10.1.2.3`, `fd00::/8` or `unix:`"
                .to_owned(),
        ),
    }
}

/// An IPv4 network that is written as one of mapped addresses is one: addresses are compared as such.
fn canonical(network: IpNet) -> IpNet {
    let IpNet::V6(v6) = network else { return network };
    let v4 = |address: Ipv6Addr| address.to_ipv4_mapped();
    let mapped = v4(v6.addr()).zip(v6.prefix_len().checked_sub(96));
    mapped.and_then(|(address, length)| Ipv4Net::new(address, length).ok()).map_or(network, IpNet::V4)
}

pub fn parse_field(text: &str) -> Result<ForwardedField, String> {
    if text.eq_ignore_ascii_case("X-Forwarded-For") {
        Ok(ForwardedField::XForwardedFor)
    } else if text.eq_ignore_ascii_case("Forwarded") {
        Ok(ForwardedField::Forwarded)
    } else {
        Err("is no field that is read; expected `X-Forwarded-For` or `Forwarded`, whichever your proxies write"
            .to_owned())
    }
}
