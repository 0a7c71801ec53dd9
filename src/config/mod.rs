//! The configuration: defaults, a TOML file, the environment, flags; the later the stronger.
//!
//! Serde reads the file into raw structs (`RawFile`, `RawSite`, `RawLimits`), whose fields keep their
//! places. Each raw struct becomes a checked type in one function, so that every site can be served as it
//! is. All faults are reported at once, each with its place and with what would be right.
//! The environment is an argument.

mod address;
mod environment;
mod file;
mod flags;
mod limits;
mod network;
mod problem;
mod secret;
mod site;
mod suggest;
mod value;

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::PathBuf;

use crate::counter::site::Screening;
use crate::counter::{Origin, Site};
use crate::redis::{Identity, Target, TargetError};

use problem::{Place, Problems};

pub use address::{PublicAddress, is_of_this_machine};
pub use environment::{Environment, variables};
pub use file::keys;
pub use flags::{Flags, LogFormat};
pub use limits::{Limits, Rate};
pub use network::{ForwardedField, TrustedProxies};
pub use problem::ConfigError;
pub use secret::{RedisUrl, Secret};

/// All settings of a node, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    pub listen: PublicAddress,
    pub admin_listen: SocketAddr,
    pub data_dir: PathBuf,
    pub redis: Vec<RedisUrl>,
    pub redis_password: Option<Secret>,
    /// Client certificate for a `rediss://` server that asks for one.
    pub redis_identity: Option<Identity>,
    pub redis_prefix: String,
    /// Publish even to a Redis that may evict counters.
    pub redis_allow_eviction: bool,
    /// Grants everything at the admin listener.
    pub admin_token: Option<Secret>,
    /// Grants reading there.
    pub admin_read_token: Option<Secret>,
    /// Served under another path, for example `/tk`.
    pub path_prefix: String,
    pub trusted_proxies: TrustedProxies,
    pub limits: Limits,
    pub sites: Vec<Site>,
    /// No file was given: the one site is the built-in demo.
    pub is_demo: bool,
    pub log_format: LogFormat,
    /// Filter of log lines, in the notation of `tracing`.
    pub log_filter: String,
    /// Files with secrets that every user of the machine may read.
    pub exposed_secret_files: Vec<PathBuf>,
    /// A flag holds a password, which every user can read in the list of processes.
    pub password_in_flag: bool,
}

pub const DEFAULT_LISTEN: PublicAddress =
    PublicAddress::Tcp(SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 8080)));
pub const DEFAULT_ADMIN_LISTEN: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 8081));
pub const DEFAULT_DATA_DIR: &str = "data";
pub const DEFAULT_REDIS_PREFIX: &str = "thongke";
const DEFAULT_LOG_FILTER: &str = "info";

impl Config {
    /// Reads and checks the configuration; fails with all its faults.
    pub fn load(flags: &Flags, environment: &Environment) -> Result<Self, ConfigError> {
        let mut problems = Problems::default();
        environment.refuse_unknown(&mut problems);
        let path = flags.config.clone().or_else(|| environment.get("THONGKE_CONFIG", &mut problems).map(PathBuf::from));
        let file = path.as_deref().map(|path| file::read(path, &mut problems));
        let is_demo = file.is_none();
        let mut file = file.unwrap_or_default();
        let listen = Listen::find("listen", &flags.listen, environment, file.listen, &mut problems)
            .map_or(Some(DEFAULT_LISTEN), |listen| listen.resolve(address::resolve_public, &mut problems));
        let admin_listen =
            Listen::find("admin_listen", &flags.admin_listen, environment, file.admin_listen, &mut problems)
                .map_or(Some(DEFAULT_ADMIN_LISTEN), |listen| listen.resolve(address::resolve, &mut problems));
        let data_dir = flags
            .data_dir
            .clone()
            .or_else(|| environment.get("THONGKE_DATA_DIR", &mut problems).map(PathBuf::from))
            .or(file.data_dir);
        let redis = redis(flags, environment, file.redis, file.redis_password.as_ref(), &mut problems);
        let password_in_flag = !flags.redis.is_empty() && redis.iter().any(RedisUrl::has_password);
        let log_format = log_format(flags, environment, &mut problems);
        let log_filter = log_filter(environment, &mut problems);
        if let (Some(PublicAddress::Tcp(listen)), Some(admin_listen)) = (&listen, admin_listen)
            && address::overlap(*listen, admin_listen)
        {
            // Both are bound so that several sockets may share them: the kernel would mix their requests.
            problems.add(format!(
                "listen = `{listen}` and admin_listen = `{admin_listen}` are the same; give the admin listener a port of its own"
            ));
        }
        let is_admin_open = environment.get_boolean("THONGKE_ADMIN_OPEN", &mut problems).unwrap_or(file.admin_open);
        if let Some(address) = admin_listen
            && !address::is_of_this_machine(address)
            && file.admin_token.is_none()
            && !is_admin_open
        {
            problems.add(format!(
                "admin_listen = `{address}` can be reached from other machines, and anyone there could change counts; \
                 listen on 127.0.0.1, set admin_token_file, or say `admin_open = true` (THONGKE_ADMIN_OPEN=true) if the network is yours"
            ));
        }
        problems.into_result()?;
        if is_demo {
            file.sites = vec![demo()];
            // Load tests of the demo come from one address.
            file.limits.turn_off_rates();
        }
        Ok(Self {
            listen: listen.unwrap_or(DEFAULT_LISTEN),
            admin_listen: admin_listen.unwrap_or(DEFAULT_ADMIN_LISTEN),
            data_dir: data_dir.unwrap_or_else(|| DEFAULT_DATA_DIR.into()),
            redis,
            redis_password: file.redis_password,
            redis_identity: file.redis_identity,
            redis_prefix: file.redis_prefix.unwrap_or_else(|| DEFAULT_REDIS_PREFIX.to_owned()),
            redis_allow_eviction: file.redis_allow_eviction,
            admin_token: file.admin_token,
            admin_read_token: file.admin_read_token,
            path_prefix: file.path_prefix,
            trusted_proxies: file.trusted_proxies,
            limits: file.limits,
            sites: file.sites,
            is_demo,
            log_format,
            log_filter,
            exposed_secret_files: file.exposed_secret_files,
            password_in_flag,
        })
    }

    /// The Redis to connect to; None without one.
    pub fn redis_target(&self) -> Result<Option<Target>, TargetError> {
        if self.redis.is_empty() {
            return Ok(None);
        }
        let urls: Vec<_> = self.redis.iter().map(|url| url.expose().to_owned()).collect();
        let target = crate::redis::parse(&urls, self.redis_password.as_ref().map(Secret::expose))?;
        Ok(Some(Target { identity: self.redis_identity.clone(), ..target }))
    }
}

/// The site of a node without a configuration file, for pages of this machine. People try it with tools
/// such as curl, so it counts them.
fn demo() -> Site {
    let id = crate::counter::SiteId::demo();
    Site {
        name: "Trang mẫu".to_owned(),
        screening: Screening::ButTools,
        ..Site::with_defaults(id, vec![Origin::any_localhost()])
    }
}

/// An address to listen on, and the setting that names it.
struct Listen {
    text: String,
    set_by: SetBy,
}

enum SetBy {
    /// A flag or a variable, by its name.
    Name(String),
    File(Place),
}

impl Listen {
    /// The strongest setting of `key`: flag, variable or file.
    fn find(
        key: &str,
        flag: &Option<String>,
        environment: &Environment,
        in_file: Option<file::Placed<String>>,
        problems: &mut Problems,
    ) -> Option<Self> {
        if let Some(text) = flag.clone() {
            return Some(Self { text, set_by: SetBy::Name(format!("--{}", key.replace('_', "-"))) });
        }
        let variable = environment::variable_of(key);
        if let Some(text) = environment.get(&variable, problems) {
            return Some(Self { text, set_by: SetBy::Name(variable) });
        }
        in_file.map(|placed| Self { text: placed.value, set_by: SetBy::File(placed.place) })
    }

    fn resolve<T>(self, resolve: fn(&str) -> Result<T, String>, problems: &mut Problems) -> Option<T> {
        let reason = match resolve(&self.text) {
            Ok(address) => return Some(address),
            Err(reason) => reason,
        };
        let text = self.text;
        match self.set_by {
            SetBy::Name(name) => problems.add(format!("{name} `{text}` {reason}")),
            SetBy::File(place) => problems.add_at(place, format!("`{text}` {reason}")),
        }
        None
    }
}

fn redis(
    flags: &Flags,
    environment: &Environment,
    in_file: Vec<RedisUrl>,
    password: Option<&Secret>,
    problems: &mut Problems,
) -> Vec<RedisUrl> {
    let password = password.map(Secret::expose);
    // An empty variable overrides the file's Redis with none.
    let variable = environment.get_or_empty("THONGKE_REDIS", problems);
    let (name, addresses) = if !flags.redis.is_empty() {
        ("--redis", flags.redis.clone())
    } else if let Some(addresses) = variable {
        let addresses = addresses.split(',').map(str::trim).filter(|address| !address.is_empty());
        ("THONGKE_REDIS", addresses.map(str::to_owned).collect())
    } else {
        // Checked with the file.
        return in_file;
    };
    if !addresses.is_empty()
        && let Err(error) = crate::redis::parse(&addresses, password)
    {
        problems.add(format!("{name}: the Redis address {error}"));
    }
    addresses.into_iter().map(RedisUrl::new).collect()
}

fn log_format(flags: &Flags, environment: &Environment, problems: &mut Problems) -> LogFormat {
    let variable = environment.get("THONGKE_LOG_FORMAT", problems);
    match (flags.log_format, variable.as_deref()) {
        (Some(format), _) => format,
        (None, None | Some("text")) => LogFormat::Text,
        (None, Some("json")) => LogFormat::Json,
        (None, Some(other)) => {
            problems.add(format!("THONGKE_LOG_FORMAT is `{other}`; expected text or json"));
            LogFormat::Text
        }
    }
}

fn log_filter(environment: &Environment, problems: &mut Problems) -> String {
    let filter = environment.get("THONGKE_LOG", problems).unwrap_or_else(|| DEFAULT_LOG_FILTER.to_owned());
    if let Err(error) = tracing_subscriber::EnvFilter::try_new(&filter) {
        problems.add(format!("THONGKE_LOG is `{filter}`: {error}; expected for example info or thongke=debug"));
    }
    filter
}

#[cfg(test)]
mod tests;
