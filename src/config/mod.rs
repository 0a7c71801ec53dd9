//! The configuration: defaults, a TOML file, the environment, flags; the later the stronger.
//!
//! Serde reads the file into raw structs (`RawFile`, `RawSite`, `RawLimits`), whose fields keep their
//! places. Each raw struct becomes a checked type in one function, so that every site can be served as it
//! is. All faults are reported at once, each with its place and with what would be right.
//! The environment is an argument.

mod address;
mod aliases;
mod dashboard;
mod defaults;
mod document;
mod environment;
mod file;
mod flags;
mod in_force;
mod limits;
mod log_filter;
mod network;
mod problem;
mod secret;
mod site;
mod site_edit;
mod sites_dir;
mod sites_watch;
mod suggest;
mod tokens;
mod value;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::ValueEnum as _;

use crate::counter::site::FilteredBots;
use crate::counter::{Grant, Origin, Site, SiteId, TokenName};
use crate::redis::{Identity, Target, TargetError};
use crate::server::{Dashboard, TrustedProxies};

use problem::{Places, Problems};
use site::ReadSite;

pub use address::{PublicAddress, is_of_this_machine};
pub use aliases::Alias;
pub use environment::{Environment, variables};
pub use file::keys;
pub use flags::{Flags, LogFormat};
pub use in_force::in_force;
pub use limits::Limits;
pub use problem::{ConfigError, Place};
pub use secret::{RedisUrl, Secret};
pub use site_edit::{Assignment, edited};
pub use sites_dir::{Listing, SitesDir};
pub use sites_watch::{SitesWatch, Step};
pub use tokens::lines as token_lines;

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
    /// Other machines may use the admin listener without a token.
    pub admin_open: bool,
    /// Editors' tokens that stand in the file.
    pub tokens: BTreeMap<TokenName, Grant>,
    /// Editors may log in over plain HTTP.
    pub dashboard_http: bool,
    /// Served under another path, for example `/tk`.
    pub path_prefix: String,
    pub trusted_proxies: TrustedProxies,
    /// The place of the editors' pages.
    pub dashboard: Dashboard,
    pub limits: Limits,
    /// The configuration file, if there is one.
    pub file: Option<PathBuf>,
    /// The one file's sites, then the folder's.
    pub sites: Vec<Site>,
    /// Places of the sites, in their order; none of the demo.
    pub site_places: Vec<Place>,
    pub aliases: Vec<Alias>,
    /// A folder with a file a site.
    pub sites_dir: Option<SitesDir>,
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

impl Config {
    /// Reads and checks the configuration; fails with all its faults.
    pub fn load(flags: &Flags, environment: &Environment) -> Result<Self, ConfigError> {
        let mut problems = Problems::default();
        environment.refuse_unknown(&mut problems);
        let path = flags.config.clone().or_else(|| environment.get("THONGKE_CONFIG", &mut problems).map(PathBuf::from));
        let file = path.as_deref().map(|path| file::read(path, &mut problems));
        let variable = || environment.get("THONGKE_SITES_DIR", &mut problems).map(PathBuf::from);
        let sites_dir = flags.sites_dir.clone().or_else(variable);
        let is_demo = file.is_none() && sites_dir.is_none();
        let file = file.unwrap_or_default();
        let mut config = file.config;
        let folder = sites_dir.or(file.sites_dir).and_then(|path| SitesDir::open(path, &mut problems));
        if let Some(folder) = &folder {
            folder.sites_into(&mut config, &mut problems);
        }
        config.sites_dir = folder;
        aliases::check(&config.sites, &config.site_places, &config.aliases, &mut problems);
        if !config.limits.new_pages {
            // Nor are strangers' pages limited otherwise.
            config.sites.iter_mut().for_each(|site| site.vouching_networks = 1);
        }
        let public = ("listen", defaults::LISTEN);
        let listen =
            listen_address(public, address::resolve_public, &flags.listen, environment, file.listen, &mut problems);
        let admin = ("admin_listen", defaults::ADMIN_LISTEN);
        let admin_listen =
            listen_address(admin, address::resolve, &flags.admin_listen, environment, file.admin_listen, &mut problems);
        let variable = || environment.get("THONGKE_DATA_DIR", &mut problems).map(PathBuf::from);
        if let Some(data_dir) = flags.data_dir.clone().or_else(variable) {
            config.data_dir = data_dir;
        }
        config.redis = redis(flags, environment, config.redis, config.redis_password.as_ref(), &mut problems);
        config.password_in_flag = !flags.redis.is_empty() && config.redis.iter().any(RedisUrl::has_password);
        config.log_format = log_format(flags, environment, &mut problems).unwrap_or_default();
        config.log_filter = log_filter(environment, &mut problems);
        if let (Some(PublicAddress::Tcp(listen)), Some(admin_listen)) = (&listen, admin_listen)
            && address::overlap(*listen, admin_listen)
        {
            // Both are bound so that several sockets may share them: the kernel would mix their requests.
            problems.add(format!(
                "listen = `{listen}` and admin_listen = `{admin_listen}` are the same; give the admin listener a port of its own"
            ));
        }
        if let Some(is_open) = environment.get_boolean("THONGKE_ADMIN_OPEN", &mut problems) {
            config.admin_open = is_open;
        }
        if let Some(address) = admin_listen
            && !address::is_of_this_machine(address)
            && config.admin_token.is_none()
            && !config.admin_open
        {
            problems.add(format!(
                "admin_listen = `{address}` can be reached from other machines, and anyone there could change counts; \
                 listen on 127.0.0.1, set admin_token_file, or say `admin_open = true` (THONGKE_ADMIN_OPEN=true) if the network is yours"
            ));
        }
        problems.into_result()?;
        config.file = path;
        config.is_demo = is_demo;
        if is_demo {
            config.sites = vec![demo()];
            // Load tests of the demo come from one address.
            config.limits.turn_off_rates();
        }
        config.listen = listen.unwrap_or(defaults::LISTEN);
        config.admin_listen = admin_listen.unwrap_or(defaults::ADMIN_LISTEN);
        Ok(config)
    }

    fn take_sites(&mut self, sites: Vec<ReadSite>, places: &Places<'_>) {
        self.sites.reserve(sites.len());
        self.site_places.reserve(sites.len());
        for ReadSite { site, at, aliases } in sites {
            let of = |(id, at)| Alias { id, of: site.id.clone(), place: places.at(at) };
            self.aliases.extend(aliases.into_iter().map(of));
            self.site_places.push(places.at(at));
            self.sites.push(site);
        }
    }

    /// The site of an id or an alias.
    pub fn site(&self, id: &SiteId) -> Option<&Site> {
        let own = self.sites.iter().find(|site| site.id == *id);
        own.or_else(|| self.sites.iter().find(|site| site.is_named(id)))
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
    let id = SiteId::demo();
    Site {
        name: "Trang mẫu".to_owned(),
        filtered_bots: FilteredBots::ExceptTools,
        vouching_networks: 1,
        ..Site::with_defaults(id, vec![Origin::any_localhost()])
    }
}

/// The address of a listener's strongest setting: flag, variable or file. None if it is wrong.
fn listen_address<T>(
    (key, default): (&str, T),
    resolve: fn(&str) -> Result<T, String>,
    flag: &Option<String>,
    environment: &Environment,
    in_file: Option<(Place, String)>,
    problems: &mut Problems,
) -> Option<T> {
    let variable = environment::variable_of(key);
    let (place, name, text) = if let Some(text) = flag {
        (None, format!("--{} ", key.replace('_', "-")), text.clone())
    } else if let Some(text) = environment.get(&variable, problems) {
        (None, variable + " ", text)
    } else if let Some((place, text)) = in_file {
        (Some(place), String::new(), text)
    } else {
        return Some(default);
    };
    resolve(&text).map_err(|reason| problems.add_at(place, format!("{name}`{text}` {reason}"))).ok()
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

fn log_format(flags: &Flags, environment: &Environment, problems: &mut Problems) -> Option<LogFormat> {
    let variable = environment.get("THONGKE_LOG_FORMAT", problems);
    flags.log_format.or_else(|| {
        let text = variable?;
        let wrong = |_| problems.add(format!("THONGKE_LOG_FORMAT is `{text}`; expected text or json"));
        LogFormat::from_str(&text, false).map_err(wrong).ok()
    })
}

fn log_filter(environment: &Environment, problems: &mut Problems) -> String {
    let filter = environment.get("THONGKE_LOG", problems).unwrap_or_else(|| defaults::LOG_FILTER.to_owned());
    let read = log_filter::check(&filter);
    let read = read.and_then(|()| match tracing_subscriber::EnvFilter::try_new(&filter) {
        Ok(_) => Ok(()),
        Err(error) => Err(error.to_string()),
    });
    if let Err(reason) = read {
        problems.add(format!("THONGKE_LOG is `{filter}`: {reason}; expected for example info or thongke=debug"));
    }
    filter
}

#[cfg(test)]
mod tests;
