//! The configuration: defaults, a TOML file, the environment, flags; the later the stronger.
//!
//! The environment is an argument. What comes out is checked: every site can be served as it is.

mod file;
mod flags;
mod secret;

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::{Path, PathBuf};

use crate::counter::label::Labels;
use crate::counter::{Origin, Site};
use crate::redis::{Target, TargetError};

pub use flags::{Flags, LogFormat};
pub use secret::{RedisUrl, Secret};

/// Everything a node is told.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    pub listen: SocketAddr,
    pub admin_listen: SocketAddr,
    pub data_dir: PathBuf,
    pub redis: Vec<RedisUrl>,
    pub redis_password: Option<Secret>,
    pub redis_prefix: String,
    /// Publish to a Redis that may evict counters all the same.
    pub redis_allow_eviction: bool,
    pub admin_token: Option<Secret>,
    /// Served under another path, for example `/tk`.
    pub path_prefix: String,
    pub sites: Vec<Site>,
    /// No file was given: the one site is the built-in demo.
    pub is_demo: bool,
    pub log_format: LogFormat,
}

/// What is wrong, where, and what would be right.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(String);

impl Config {
    /// Reads the configuration; `env` knows the environment variables.
    pub fn load(flags: &Flags, env: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let path = flags.config.clone().or_else(|| env("THONGKE_CONFIG").map(PathBuf::from));
        let file = match &path {
            None => file::File::default(),
            Some(path) => file::read(path)?,
        };
        let listen = flags.listen.clone().or_else(|| env("THONGKE_LISTEN")).or(file.listen);
        let admin_listen = flags.admin_listen.clone().or_else(|| env("THONGKE_ADMIN_LISTEN")).or(file.admin_listen);
        let data_dir = flags.data_dir.clone().or_else(|| env("THONGKE_DATA_DIR").map(PathBuf::from)).or(file.data_dir);
        let redis = if !flags.redis.is_empty() {
            flags.redis.clone()
        } else if let Some(urls) = env("THONGKE_REDIS") {
            urls.split(',').map(|url| url.trim().to_owned()).filter(|url| !url.is_empty()).collect()
        } else {
            file.redis
        };
        let log_format = match (flags.log_format, env("THONGKE_LOG_FORMAT").as_deref()) {
            (Some(format), _) => format,
            (None, None | Some("text")) => LogFormat::Text,
            (None, Some("json")) => LogFormat::Json,
            (None, Some(other)) => {
                return Err(ConfigError(format!("THONGKE_LOG_FORMAT is `{other}`; expected text or json")));
            }
        };
        let (sites, is_demo) = match path {
            None => (vec![demo()], true),
            Some(_) => (file.sites, false),
        };
        let listen = address("listen", listen.as_deref().unwrap_or("127.0.0.1:8080"))?;
        let admin_listen = address("admin_listen", admin_listen.as_deref().unwrap_or("127.0.0.1:8081"))?;
        if overlap(listen, admin_listen) {
            // Both are bound so that several sockets may share them: the kernel would mix their requests.
            return Err(ConfigError(format!(
                "listen = `{listen}` and admin_listen = `{admin_listen}` are the same; give the admin listener a port of its own"
            )));
        }
        Ok(Self {
            listen,
            admin_listen,
            data_dir: data_dir.unwrap_or_else(|| PathBuf::from("data")),
            redis: redis.into_iter().map(RedisUrl::new).collect(),
            redis_password: file.redis_password_file.as_deref().map(read_secret).transpose()?,
            redis_prefix: file.redis_prefix.unwrap_or_else(|| "thongke".to_owned()),
            redis_allow_eviction: file.redis_allow_eviction,
            admin_token: file.admin_token_file.as_deref().map(read_secret).transpose()?,
            path_prefix: file.path_prefix,
            sites,
            is_demo,
            log_format,
        })
    }

    /// Where Redis is, or none.
    pub fn redis_target(&self) -> Result<Option<Target>, TargetError> {
        if self.redis.is_empty() {
            return Ok(None);
        }
        let urls: Vec<_> = self.redis.iter().map(|url| url.expose().to_owned()).collect();
        crate::redis::parse(&urls, self.redis_password.as_ref().map(Secret::expose)).map(Some)
    }
}

/// The site that is there without a configuration, for pages of this machine.
fn demo() -> Site {
    let id = crate::counter::SiteId::demo();
    Site {
        name: "Trang mẫu".to_owned(),
        labels: Labels::new(),
        ..Site::with_defaults(id, vec![Origin::any_localhost()])
    }
}

fn address(key: &str, text: &str) -> Result<SocketAddr, ConfigError> {
    let wrong = |why: String| {
        ConfigError(format!(
            "{key} = `{text}`: {why}; expected an address and a port such as `127.0.0.1:8080` or `[::]:8080`"
        ))
    };
    let mut addresses = text.to_socket_addrs().map_err(|error| wrong(error.to_string()))?;
    addresses.next().ok_or_else(|| wrong("the name has no address".to_owned()))
}

/// Whether a connection to one could reach the other.
fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    a.port() == b.port() && a.port() != 0 && (a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified())
}

fn read_secret(path: &Path) -> Result<Secret, ConfigError> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| ConfigError(format!("can't read the secret in {}: {error}", path.display())))?;
    match text.trim() {
        "" => Err(ConfigError(format!("the secret file {} is empty", path.display()))),
        secret => Ok(Secret::new(secret)),
    }
}

#[cfg(test)]
mod tests;
