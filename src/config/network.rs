//! Networks: trusted proxies, and clients that aren't counted.

use std::net::{IpAddr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net};

use super::address::UNIX;
use super::value::Value;
use crate::server::ForwardedField;

/// An item of the list of trusted proxies: a network, or, without one, the unix socket.
#[derive(Debug)]
pub struct Proxy(pub Option<IpNet>);

impl Value for Proxy {
    const EXAMPLE: &'static str = r#""10.0.0.0/8""#;

    fn from_text(text: &str) -> Result<Self, String> {
        if text == UNIX {
            return Ok(Self(None));
        }
        parse(text, ", `fd00::/8` or `unix:`").map(|network| Self(Some(network)))
    }
}

impl Value for IpNet {
    const EXAMPLE: &'static str = r#""10.1.0.0/16""#;

    fn from_text(text: &str) -> Result<Self, String> {
        parse(text, " or `fd00::/8`")
    }
}

impl Value for ForwardedField {
    const EXAMPLE: &'static str = r#""X-Forwarded-For""#;

    fn from_text(text: &str) -> Result<Self, String> {
        if text.eq_ignore_ascii_case("X-Forwarded-For") {
            Ok(Self::XForwardedFor)
        } else if text.eq_ignore_ascii_case("Forwarded") {
            Ok(Self::Forwarded)
        } else {
            let expected = "expected `X-Forwarded-For` or `Forwarded`, whichever your proxies write";
            Err(format!("`{text}` is no header that can be read; {expected}"))
        }
    }
}

/// Parses an address or a network in CIDR notation. `others`: the end of the list of examples.
fn parse(text: &str, others: &str) -> Result<IpNet, String> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(address.to_canonical().into());
    }
    match text.parse::<IpNet>() {
        Ok(network) if network.trunc() == network => Ok(canonical(network)),
        Ok(network) => Err(format!(
            "`{text}` names one address and a whole network; did you mean `{}`, or `{}` alone?",
            network.trunc(),
            network.addr()
        )),
        Err(_) => Err(format!(
            "`{text}` is neither an address nor a network; expected for example `10.0.0.0/8`, `10.1.2.3`{others}"
        )),
    }
}

/// Turns a network of IPv4-mapped addresses into the IPv4 network, as addresses are compared.
fn canonical(network: IpNet) -> IpNet {
    let IpNet::V6(v6) = network else { return network };
    let v4 = |address: Ipv6Addr| address.to_ipv4_mapped();
    let mapped = v4(v6.addr()).zip(v6.prefix_len().checked_sub(96));
    mapped.and_then(|(address, length)| Ipv4Net::new(address, length).ok()).map_or(network, IpNet::V4)
}
