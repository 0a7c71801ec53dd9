//! X-Forwarded-For and Forwarded: lines as a client sends them through a proxy that appends.

use std::net::IpAddr;

use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use thongke::counter::ClientPrefix;
use thongke::server::{ForwardedField, TrustedProxies};

const PROXY: &str = "10.0.0.1";
/// Clients that the proxy sees, and names.
const SEEN: [&str; 3] = ["192.0.2.9", "2001:db8:1:2:3:4:5:6", "::ffff:198.51.100.7"];

pub fn holds(input: &[u8]) {
    let lines: Vec<HeaderValue> =
        input.split(|byte| *byte == b'\n').filter_map(|line| HeaderValue::from_bytes(line).ok()).collect();
    let proxy = PROXY.parse().ok().map(ClientPrefix::of);
    for field in [ForwardedField::XForwardedFor, ForwardedField::Forwarded] {
        let proxies = trusting(field, &["10.0.0.0/8"]);
        let client = |lines: &[HeaderValue], proxies: &TrustedProxies| {
            let headers: HeaderMap = lines.iter().map(|line| (name(field), line.clone())).collect();
            proxies.client(PROXY.parse().ok(), &headers)
        };
        for seen in SEEN {
            let alone = client(&[value(written(field, seen))], &proxies);
            assert!(alone.is_some() && alone != proxy, "{seen}");
            // On a line of its own.
            let mut apart = lines.clone();
            apart.push(value(written(field, seen)));
            assert_eq!(client(&apart, &proxies), alone, "a client has changed its address");
            // Appended to the line that is there.
            if let Some((last, others)) = lines.split_last() {
                let joined = [last.as_bytes(), b", ", written(field, seen).as_bytes()].concat();
                let mut appended = others.to_vec();
                // A line that is not text is no list: it ends the walk at the proxy.
                let expected = if last.to_str().is_ok() { alone } else { proxy };
                appended.push(HeaderValue::from_bytes(&joined).unwrap());
                assert_eq!(client(&appended, &proxies), expected, "a client has changed its address");
            }
        }
        // If everyone is trusted, some client is found.
        assert!(client(&lines, &trusting(field, &["0.0.0.0/0", "::/0"])).is_some());
        // If nobody is trusted, the client is the peer.
        assert_eq!(client(&lines, &TrustedProxies::default()), proxy);
        // A field that the proxies don't write is ignored.
        let other = match field {
            ForwardedField::XForwardedFor => ForwardedField::Forwarded,
            ForwardedField::Forwarded => ForwardedField::XForwardedFor,
        };
        assert_eq!(client(&lines, &trusting(other, &["10.0.0.0/8"])), proxy);
    }
}

fn trusting(field: ForwardedField, networks: &[&str]) -> TrustedProxies {
    let networks = networks.iter().map(|network| network.parse().unwrap()).collect();
    TrustedProxies { networks, unix_socket: false, field }
}

fn name(field: ForwardedField) -> HeaderName {
    HeaderName::from_static(match field {
        ForwardedField::XForwardedFor => "x-forwarded-for",
        ForwardedField::Forwarded => "forwarded",
    })
}

fn written(field: ForwardedField, seen: &str) -> String {
    match (field, seen.parse::<IpAddr>().unwrap()) {
        (ForwardedField::XForwardedFor, _) => seen.to_owned(),
        (ForwardedField::Forwarded, IpAddr::V4(_)) => format!("for={seen};proto=https"),
        (ForwardedField::Forwarded, IpAddr::V6(_)) => format!("for=\"[{seen}]\""),
    }
}

fn value(text: String) -> HeaderValue {
    HeaderValue::from_str(&text).unwrap()
}
