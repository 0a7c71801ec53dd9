//! The configuration: defaults, a TOML file, the environment, flags; the later the stronger.
//!
//! The environment is an argument. What comes out is checked: every site can be served as it is.
//! What is wrong is told all at once, each with its place and with what would be right.

mod address;
mod environment;
mod file;
mod flags;
mod identity;
mod limits;
mod network;
mod problem;
mod reader;
mod secret;
mod site;
mod suggest;
mod syntax;

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::PathBuf;

use crate::counter::site::Screening;
use crate::counter::{Origin, Site};
use crate::redis::{Identity, Target, TargetError};

use problem::{Place, Problems};

pub use address::{PublicAddress, is_of_this_machine};
pub use environment::Environment;
pub use flags::{Flags, LogFormat};
pub use limits::{Limits, Rate};
pub use network::{ForwardedField, TrustedProxies};
pub use problem::ConfigError;
pub use secret::{RedisUrl, Secret};

/// Everything a node is told.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    pub listen: PublicAddress,
    pub admin_listen: SocketAddr,
    pub data_dir: PathBuf,
    pub redis: Vec<RedisUrl>,
    pub redis_password: Option<Secret>,
    /// What a `rediss://` server is shown, if it asks.
    pub redis_identity: Option<Identity>,
    pub redis_prefix: String,
    /// Publish to a Redis that may evict counters all the same.
    pub redis_allow_eviction: bool,
    /// For everything at the admin listener.
    pub admin_token: Option<Secret>,
    /// For reading there.
    pub admin_read_token: Option<Secret>,
    /// Served under another path, for example `/tk`.
    pub path_prefix: String,
    pub trusted_proxies: TrustedProxies,
    pub limits: Limits,
    pub sites: Vec<Site>,
    /// No file was given: the one site is the built-in demo.
    pub is_demo: bool,
    pub log_format: LogFormat,
    /// Which log lines are written, as `tracing` filters them.
    pub log_filter: String,
    /// Files with secrets that every user of the machine may read.
    pub secrets_for_all: Vec<PathBuf>,
    /// A flag has a password, which every user reads in the list of processes.
    pub password_in_flag: bool,
}

const DEFAULT_LISTEN: PublicAddress = PublicAddress::Tcp(SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 8080)));
const DEFAULT_ADMIN_LISTEN: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 8081));

impl Config {
    /// Reads the configuration, or says all that is wrong with it.
    pub fn load(flags: &Flags, environment: &Environment) -> Result<Self, ConfigError> {
        let mut problems = Problems::default();
        environment.refuse_unknown(&mut problems);
        let path = flags.config.clone().or_else(|| environment.get("THONGKE_CONFIG", &mut problems).map(PathBuf::from));
        let file = path.as_deref().map(|path| file::read(path, &mut problems));
        let is_demo = file.is_none();
        let mut file = file.unwrap_or_default();
        let listen = Listen::find(&flags.listen, "listen", "THONGKE_LISTEN", environment, file.listen, &mut problems)
            .map_or(Some(DEFAULT_LISTEN), |listen| listen.resolve(address::resolve_public, &mut problems));
        let admin_listen = Listen::find(
            &flags.admin_listen,
            "admin-listen",
            "THONGKE_ADMIN_LISTEN",
            environment,
            file.admin_listen,
            &mut problems,
        )
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
            // Whoever tries it loads it from this machine.
            file.limits.turn_off_rates();
        }
        Ok(Self {
            listen: listen.unwrap_or(DEFAULT_LISTEN),
            admin_listen: admin_listen.unwrap_or(DEFAULT_ADMIN_LISTEN),
            data_dir: data_dir.unwrap_or_else(|| PathBuf::from("data")),
            redis,
            redis_password: file.redis_password,
            redis_identity: file.redis_identity,
            redis_prefix: file.redis_prefix.unwrap_or_else(|| "thongke".to_owned()),
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
            secrets_for_all: file.secrets_for_all,
            password_in_flag,
        })
    }

    /// Where Redis is, or none.
    pub fn redis_target(&self) -> Result<Option<Target>, TargetError> {
        if self.redis.is_empty() {
            return Ok(None);
        }
        let urls: Vec<_> = self.redis.iter().map(|url| url.expose().to_owned()).collect();
        let target = crate::redis::parse(&urls, self.redis_password.as_ref().map(Secret::expose))?;
        Ok(Some(Target { identity: self.redis_identity.clone(), ..target }))
    }
}

/// The site that is there without a configuration, for pages of this machine. It is there to be
/// tried, so it counts the tools by which that is done.
fn demo() -> Site {
    let id = crate::counter::SiteId::demo();
    Site {
        name: "Trang mẫu".to_owned(),
        screening: Screening::ButTools,
        ..Site::with_defaults(id, vec![Origin::any_localhost()])
    }
}

/// An address to listen on, and who said it.
struct Listen {
    text: String,
    said_by: SaidBy,
}

enum SaidBy {
    /// A flag or a variable, by its name.
    Name(String),
    File(Place),
}

impl Listen {
    /// The strongest that is said.
    fn find(
        flag: &Option<String>,
        flag_name: &str,
        variable: &str,
        environment: &Environment,
        in_file: Option<file::Placed<String>>,
        problems: &mut Problems,
    ) -> Option<Self> {
        let by_name = |name: String, text: String| Self { text, said_by: SaidBy::Name(name) };
        if let Some(text) = flag {
            return Some(by_name(format!("--{flag_name}"), text.clone()));
        }
        if let Some(text) = environment.get(variable, problems) {
            return Some(by_name(variable.to_owned(), text));
        }
        in_file.map(|placed| Self { text: placed.value, said_by: SaidBy::File(placed.place) })
    }

    fn resolve<T>(self, resolve: fn(&str) -> Result<T, String>, problems: &mut Problems) -> Option<T> {
        let reason = match resolve(&self.text) {
            Ok(address) => return Some(address),
            Err(reason) => reason,
        };
        let text = self.text;
        match self.said_by {
            SaidBy::Name(name) => problems.add(format!("{name} `{text}` {reason}")),
            SaidBy::File(place) => problems.add_at(place, format!("`{text}` {reason}")),
        }
        None
    }
}

fn redis(
    flags: &Flags,
    environment: &Environment,
    in_file: Option<file::Placed<Vec<String>>>,
    password: Option<&Secret>,
    problems: &mut Problems,
) -> Vec<RedisUrl> {
    let password = password.map(Secret::expose);
    // Empty means none, so that a node can be told to do without the file's Redis.
    let variable = environment.get_or_empty("THONGKE_REDIS", problems);
    let (name, addresses) = if !flags.redis.is_empty() {
        ("--redis", flags.redis.clone())
    } else if let Some(addresses) = variable {
        let addresses = addresses.split(',').map(str::trim).filter(|address| !address.is_empty());
        ("THONGKE_REDIS", addresses.map(str::to_owned).collect())
    } else {
        // Checked where it stands.
        return in_file.map_or_else(Vec::new, |placed| placed.value.into_iter().map(RedisUrl::new).collect());
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
    let filter = environment.get("THONGKE_LOG", problems).unwrap_or_else(|| "info".to_owned());
    if let Err(error) = tracing_subscriber::EnvFilter::try_new(&filter) {
        problems.add(format!("THONGKE_LOG is `{filter}`: {error}; expected for example info or thongke=debug"));
    }
    filter
}

#[cfg(test)]
mod tests;
