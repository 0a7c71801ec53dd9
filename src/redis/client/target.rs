//! Which Redis: the addresses that an operator gives, read and checked.

use std::fmt;

use url::{Host, Url};

/// One Redis, however it is built. Shown without passwords.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    pub kind: TargetKind,
    /// Servers, or sentinels; further ones are seeds of the same Redis.
    pub addresses: Vec<Address>,
    pub has_tls: bool,
    pub credentials: Credentials,
    /// Shown to a TLS server that asks for it.
    pub identity: Option<Identity>,
}

/// A client certificate and its key, in PEM format.
#[derive(Clone, PartialEq, Eq)]
pub struct Identity {
    pub certificate: Vec<u8>,
    pub key: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TargetKind {
    Standalone { database: i64 },
    Cluster,
    Sentinel { service: String, database: i64, sentinel: Credentials },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    pub host: String,
    pub port: u16,
}

#[derive(Clone, Default, PartialEq, Eq)]
pub struct Credentials {
    pub user: Option<String>,
    pub password: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{address}` {reason}")]
pub struct TargetError {
    /// Without its password.
    pub address: String,
    pub reason: String,
}

const SCHEMES: &str =
    "`redis://`, `rediss://`, `redis+cluster://`, `rediss+cluster://`, `redis+sentinel://` or `rediss+sentinel://`";

/// Reads all addresses of one Redis. `password` is for addresses that hold none.
pub fn parse(addresses: &[String], password: Option<&str>) -> Result<Target, TargetError> {
    let mut targets = addresses.iter().map(|address| parse_one(address));
    let Some(first) = targets.next() else {
        return Err(TargetError { address: String::new(), reason: "names no Redis".to_owned() });
    };
    let mut target = first?;
    for (further, text) in targets.zip(addresses.iter().skip(1)) {
        let further = further?;
        target.join(further).map_err(|reason| TargetError { address: redacted(text), reason })?;
    }
    if target.credentials.password.is_none() {
        target.credentials.password = password.map(str::to_owned);
    }
    Ok(target)
}

fn parse_one(text: &str) -> Result<Target, TargetError> {
    let refuse = |reason: String| TargetError { address: redacted(text), reason };
    let url = Url::parse(text).map_err(|error| refuse(format!("is not an address: {error}; expected {SCHEMES}")))?;
    let (base, kind) = url.scheme().split_once('+').unwrap_or((url.scheme(), ""));
    let has_tls = match base {
        "redis" => false,
        "rediss" => true,
        _ => return Err(refuse(format!("has an unknown scheme: expected {SCHEMES}"))),
    };
    let host = match url.host() {
        Some(Host::Domain(name)) if !name.is_empty() => name.to_owned(),
        Some(Host::Ipv4(address)) => address.to_string(),
        Some(Host::Ipv6(address)) => address.to_string(),
        _ => return Err(refuse("names no host".to_owned())),
    };
    let default_port = if kind == "sentinel" { 26_379 } else { 6379 };
    let address = Address { host, port: url.port().unwrap_or(default_port) };
    let credentials = Credentials {
        user: Some(url.username()).filter(|user| !user.is_empty()).map(decoded),
        password: url.password().map(decoded),
    };
    let path: Vec<&str> = url.path().split('/').filter(|segment| !segment.is_empty()).collect();
    let database = |text: Option<&&str>| match text {
        None => Ok(0),
        Some(text) => text
            .parse::<u16>()
            .map(i64::from)
            .map_err(|_| refuse(format!("has `{text}` where a database number was expected"))),
    };
    let kind = match (kind, path.as_slice()) {
        ("", [] | [_]) => TargetKind::Standalone { database: database(path.first())? },
        ("cluster", []) => TargetKind::Cluster,
        ("cluster", _) => return Err(refuse("names a database, and a cluster has only one".to_owned())),
        ("sentinel", [service] | [service, _]) => TargetKind::Sentinel {
            service: decoded(service),
            database: database(path.get(1))?,
            sentinel: sentinel_credentials(&url).map_err(refuse)?,
        },
        ("sentinel", []) => {
            return Err(refuse("names no service: expected `redis+sentinel://host:port/service`".to_owned()));
        }
        ("" | "sentinel", _) => return Err(refuse("has more path than was expected".to_owned())),
        _ => return Err(refuse(format!("has an unknown scheme: expected {SCHEMES}"))),
    };
    if !matches!(kind, TargetKind::Sentinel { .. }) && url.query().is_some() {
        return Err(refuse("has a query, which means nothing here".to_owned()));
    }
    Ok(Target { kind, addresses: vec![address], has_tls, credentials, identity: None })
}

/// Sentinels have passwords of their own: `?sentinel_user=…&sentinel_password=…`.
fn sentinel_credentials(url: &Url) -> Result<Credentials, String> {
    let mut credentials = Credentials::default();
    for (name, value) in url.query_pairs() {
        match &*name {
            "sentinel_user" => credentials.user = Some(value.into_owned()),
            "sentinel_password" => credentials.password = Some(value.into_owned()),
            _ => return Err("has an unknown parameter: expected `sentinel_user` or `sentinel_password`".to_owned()),
        }
    }
    Ok(credentials)
}

fn decoded(text: &str) -> String {
    percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// An address as it was given, without anything that may be a password.
fn redacted(text: &str) -> String {
    let without_query = text.split(['?', '#']).next().unwrap_or_default();
    let (scheme, rest) = without_query.split_once("://").unwrap_or(("", without_query));
    // With an `@` further on, a password may have begun before the `?` or `#`.
    let is_in_doubt = text[without_query.len()..].contains('@');
    let rest = if is_in_doubt { "…" } else { rest.rsplit_once('@').map_or(rest, |(_, place)| place) };
    let shown: String = rest.chars().take(120).collect();
    if scheme.is_empty() { shown } else { format!("{scheme}://{shown}") }
}

impl Target {
    /// Takes another seed of the same Redis.
    fn join(&mut self, further: Self) -> Result<(), String> {
        if self.has_tls != further.has_tls || self.kind_name() != further.kind_name() {
            return Err(format!(
                "is of another kind than the address before it: all must begin with `{}://`",
                self.scheme()
            ));
        }
        if let TargetKind::Standalone { .. } = self.kind {
            return Err("is a second server, and a single Redis has one address: use `redis+cluster://` or \
                        `redis+sentinel://` for several"
                .to_owned());
        }
        if let (
            TargetKind::Sentinel { service, database, sentinel },
            TargetKind::Sentinel { service: further_service, database: further_database, sentinel: further_sentinel },
        ) = (&mut self.kind, further.kind)
        {
            if *service != further_service || *database != further_database {
                return Err(format!("names another service or database than the address before it (`{service}`)"));
            }
            sentinel.join(further_sentinel)?;
        }
        self.credentials.join(further.credentials)?;
        self.addresses.extend(further.addresses);
        Ok(())
    }

    fn kind_name(&self) -> &'static str {
        match self.kind {
            TargetKind::Standalone { .. } => "",
            TargetKind::Cluster => "+cluster",
            TargetKind::Sentinel { .. } => "+sentinel",
        }
    }

    fn scheme(&self) -> String {
        format!("redis{}{}", if self.has_tls { "s" } else { "" }, self.kind_name())
    }
}

impl Credentials {
    fn join(&mut self, further: Self) -> Result<(), String> {
        let clash = |here: &Option<String>, there: &Option<String>| here.is_some() && there.is_some() && here != there;
        if clash(&self.user, &further.user) || clash(&self.password, &further.password) {
            return Err("has another user or password than the address before it".to_owned());
        }
        self.user = self.user.take().or(further.user);
        self.password = self.password.take().or(further.password);
        Ok(())
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://", self.scheme())?;
        for (at, Address { host, port }) in self.addresses.iter().enumerate() {
            let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
            write!(f, "{}{host}:{port}", if at == 0 { "" } else { "," })?;
        }
        match &self.kind {
            TargetKind::Standalone { database: 0 } | TargetKind::Cluster => Ok(()),
            TargetKind::Standalone { database } => write!(f, "/{database}"),
            TargetKind::Sentinel { service, .. } => write!(f, "/{service}"),
        }
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({self})")
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity(hidden)")
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.password.is_some() { "Credentials(set)" } else { "Credentials(none)" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(addresses: &[&str]) -> Result<Target, TargetError> {
        parse(&addresses.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>(), None)
    }

    #[test]
    fn each_scheme_is_its_kind_of_redis() {
        assert_eq!(read(&["redis://a"]).unwrap().to_string(), "redis://a:6379");
        assert_eq!(read(&["rediss://u:p@a:1/3"]).unwrap().to_string(), "rediss://a:1/3");
        assert_eq!(read(&["redis://[::1]:7"]).unwrap().to_string(), "redis://[::1]:7");
        assert_eq!(
            read(&["redis+cluster://a:1", "redis+cluster://b:2"]).unwrap().to_string(),
            "redis+cluster://a:1,b:2"
        );
        let sentinel =
            read(&["rediss+sentinel://:p@a/main?sentinel_password=q", "rediss+sentinel://b:5/main"]).unwrap();
        assert_eq!(sentinel.to_string(), "rediss+sentinel://a:26379,b:5/main");
        let TargetKind::Sentinel { sentinel, .. } = &sentinel.kind else { panic!() };
        assert_eq!(sentinel.password.as_deref(), Some("q"));
    }

    #[test]
    fn what_names_no_single_redis_is_refused_with_what_would_be_right() {
        for (addresses, expected) in [
            (&["a:6379"][..], "scheme"),
            (&["http://a"], "expected `redis://`"),
            (&["redis+proxy://a"], "unknown scheme"),
            (&["redis://"], "host"),
            (&["redis://a/x"], "database number"),
            (&["redis+cluster://a/1"], "has only one"),
            (&["redis+sentinel://a"], "names no service"),
            (&["redis://a", "redis://b"], "second server"),
            (&["redis+cluster://a", "redis://b"], "another kind"),
            (&["redis+sentinel://a/x", "redis+sentinel://a/y"], "another service"),
            (&["redis+cluster://:p@a", "redis+cluster://:q@b"], "another user or password"),
            (&[], "no Redis"),
            (&["redis+sentinel://a/main/x"], "database number"),
            (&["redis+sentinel://a/main/65536"], "database number"),
            (&["redis+sentinel://a/main/1/2"], "more path"),
            (&["redis://a/1/2"], "more path"),
            (&["redis+sentinel://a/main?user=x"], "unknown parameter"),
            (&["redis://a?sentinel_user=x"], "has a query"),
            (&["redis+cluster://a?x"], "has a query"),
            (&["redis+cluster://u:p@a", "redis+cluster://v:p@b"], "another user"),
            (
                &["redis+sentinel://a/x?sentinel_password=p", "redis+sentinel://b/x?sentinel_password=q"],
                "another user or password",
            ),
            (&["redis+sentinel://a/x/1", "redis+sentinel://b/x/2"], "another service or database"),
            (&["rediss+cluster://a", "redis+cluster://b"], "must begin with `rediss+cluster://`"),
        ] {
            let error = read(addresses).unwrap_err().to_string();
            assert!(error.contains(expected), "{addresses:?}: {error}");
        }
    }

    #[test]
    fn a_password_is_never_shown() {
        let target = read(&["redis+sentinel://user:s3cret@a/x?sentinel_password=s3cret"]).unwrap();
        assert!(!format!("{target} {target:?} {:?}", target.kind).contains("s3cret"));
        for bad in ["redis://:s3cret@a/x", "http://:s3cret@a", "redis+cluster://a/9?p=s3cret", "redis://:s3c@ret@/"] {
            let shown = format!("{0} {0:?}", read(&[bad]).unwrap_err());
            assert!(!shown.contains("s3c"), "{shown}");
        }
    }

    #[test]
    fn a_password_from_a_file_is_for_addresses_without_one() {
        let with = |address: &str| parse(&[address.to_owned()], Some("file")).unwrap().credentials.password;
        assert_eq!(with("redis://a").as_deref(), Some("file"));
        assert_eq!(with("redis://:url%40@a").as_deref(), Some("url@"));
    }

    #[test]
    fn an_address_is_shown_without_its_password() {
        for (address, shown) in [
            ("redis://user:secret@a:6379/1", "redis://a:6379/1"),
            ("redis://a:6379?sentinel_password=secret", "redis://a:6379"),
            (":secret@a", "a"),
            ("redis://user:sec#ret@a:6379", "redis://…"),
            ("redis://user@sec?ret@a:6379", "redis://…"),
        ] {
            assert_eq!(redacted(address), shown, "{address}");
        }
    }

    #[test]
    fn a_sentinels_address_names_service_database_and_passwords_of_both() {
        let target =
            read(&["redis+sentinel://u%2F:p@[::1]/main%20one/3?sentinel_user=su&sentinel_password=sp%26"]).unwrap();
        let credentials = |user: &str, password: &str| Credentials {
            user: Some(user.to_owned()),
            password: Some(password.to_owned()),
        };
        assert_eq!(target.credentials, credentials("u/", "p"));
        assert_eq!(target.addresses, [Address { host: "::1".to_owned(), port: 26_379 }]);
        let sentinel = credentials("su", "sp&");
        assert_eq!(target.kind, TargetKind::Sentinel { service: "main one".to_owned(), database: 3, sentinel });
        let plain = read(&["redis+sentinel://a:1/main"]).unwrap();
        let sentinel = Credentials::default();
        assert_eq!(plain.kind, TargetKind::Sentinel { service: "main".to_owned(), database: 0, sentinel });
        assert!(!plain.has_tls && read(&["rediss+sentinel://a/main"]).unwrap().has_tls);
    }

    #[test]
    fn a_password_may_stand_in_one_of_several_addresses_and_the_same_one_in_all() {
        let password = |addresses: &[&str]| read(addresses).unwrap().credentials.password;
        for addresses in [
            ["redis+cluster://:p@a", "redis+cluster://b"],
            ["redis+cluster://a", "redis+cluster://:p@b"],
            ["redis+cluster://:p@a", "redis+cluster://:p@b"],
        ] {
            assert_eq!(password(&addresses).as_deref(), Some("p"), "{addresses:?}");
        }
    }
}
