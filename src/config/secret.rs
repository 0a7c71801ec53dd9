//! Secrets: printing one never shows it.

use std::fmt;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::obstacle;

/// A password or token. Printing it prints `(hidden)`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

/// The address of a Redis server. Printing it hides its password.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisUrl(String);

const HIDDEN: &str = "(hidden)";

/// Largest file with a secret.
const BYTES_MAX: u64 = 64 << 10;

/// Reads a secret from a file of one line.
pub fn read(path: &Path) -> Result<Secret, String> {
    let text = obstacle::read_text(path, BYTES_MAX)
        .map_err(|error| format!("can't read the secret in {}: {error}", path.display()))?;
    match text.trim() {
        "" => Err(format!("the secret file {} is empty", path.display())),
        secret if secret.contains('\n') => Err(format!("the secret file {} holds more than one line", path.display())),
        secret => Ok(Secret::new(secret)),
    }
}

/// True if every user of the machine may read a file.
pub fn is_readable_by_all(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o004 != 0)
}

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl RedisUrl {
    pub fn new(url: impl Into<String>) -> Self {
        Self(url.into())
    }

    pub fn has_password(&self) -> bool {
        self.to_string().contains(HIDDEN)
    }

    /// The address with its password, for connecting.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, rest) = match self.0.split_once("://") {
            Some((scheme, rest)) => (scheme, rest),
            None => ("", self.0.as_str()),
        };
        // A parameter may hold one too (`?password=`); nothing after `?` helps to recognise a server.
        let rest = rest.split('?').next().unwrap_or_default();
        // The last `@`: a password that was not percent-encoded may hold one.
        let (credentials, server) = match rest.rsplit_once('@') {
            Some((credentials, server)) => (Some(credentials), server),
            None => (None, rest),
        };
        if !scheme.is_empty() {
            write!(f, "{scheme}://")?;
        }
        match credentials {
            Some(credentials) => {
                let user = credentials.split_once(':').map_or("", |(user, _)| user);
                write!(f, "{user}:{HIDDEN}@{server}")
            }
            None => f.write_str(server),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_printed() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret} {secret:?} {:?}", Some(&secret)), "(hidden) (hidden) Some((hidden))");
        assert_eq!(secret.expose(), "hunter2");
    }

    #[test]
    fn a_redis_address_is_printed_without_its_password() {
        let shown = |url: &str| RedisUrl::new(url).to_string();
        assert_eq!(shown("redis://10.0.0.5:6379"), "redis://10.0.0.5:6379");
        assert_eq!(shown("redis://:hunter2@10.0.0.5/3"), "redis://:(hidden)@10.0.0.5/3");
        assert_eq!(shown("rediss://web:hunter2@r.vn?x=hunter2"), "rediss://web:(hidden)@r.vn");
        assert_eq!(shown("redis://:hun@ter2@r.vn"), "redis://:(hidden)@r.vn");
        assert_eq!(shown("redis://hunter2@r.vn"), "redis://:(hidden)@r.vn");
        assert_eq!(shown("web:hunter2@r.vn"), "web:(hidden)@r.vn");
    }
}
