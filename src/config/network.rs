//! Networks of the proxies that are believed.

use std::net::IpAddr;

use ipnet::IpNet;

/// Whether `text` is an address or a network in CIDR notation; else what would be right.
pub fn check(text: &str) -> Result<(), String> {
    if text.parse::<IpAddr>().is_ok() {
        return Ok(());
    }
    match text.parse::<IpNet>() {
        Ok(network) if network.trunc() == network => Ok(()),
        Ok(network) => Err(format!(
            "names one address and a whole network; did you mean `{}`, or `{}` alone?",
            network.trunc(),
            network.addr()
        )),
        Err(_) => {
            Err("is neither an address nor a network; expected for example `10.0.0.0/8`, `10.1.2.3` or `fd00::/8`"
                .to_owned())
        }
    }
}
