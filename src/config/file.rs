//! The TOML file: the keys that serde reads, and their checked values.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::limits::RawLimits;
use super::network::Proxy;
use super::problem::{Faults, Place, Places, Problems};
use super::secret::{self, RedisUrl, Secret};
use super::site::{RawSite, RawSites};
use super::tokens::{RawToken, RawTokens};
use super::value::{Field, List, Value, keys_of};
use super::{Config, LogFormat, address, defaults, document, site, suggest, tokens};
use crate::obstacle;
use crate::redis::Identity;
use crate::server::{Dashboard, ForwardedField, TrustedProxies};

/// Largest configuration. A hundred thousand sites take 20 MB.
const FILE_BYTES_MAX: u64 = 64 << 20;
/// Largest certificate or key.
const PEM_BYTES_MAX: u64 = 1 << 20;

/// The keys at the top of the file.
#[derive(Default, Deserialize)]
struct RawFile {
    listen: Option<Field<RawAddress>>,
    admin_listen: Option<Field<RawAddress>>,
    data_dir: Option<Field<String>>,
    redis: Option<Field<List<RedisAddress>>>,
    redis_password_file: Option<Field<String>>,
    redis_tls_certificate_file: Option<Field<String>>,
    redis_tls_key_file: Option<Field<String>>,
    redis_prefix: Option<Field<String>>,
    redis_allow_eviction: Option<Field<bool>>,
    admin_token_file: Option<Field<String>>,
    admin_read_token_file: Option<Field<String>>,
    admin_open: Option<Field<bool>>,
    dashboard_http: Option<Field<bool>>,
    path_prefix: Option<Field<String>>,
    trusted_proxies: Option<Field<List<Proxy>>>,
    trusted_proxies_field: Option<Field<ForwardedField>>,
    dashboard: Option<Field<Dashboard>>,
    sites: Option<Field<RawSites>>,
    sites_dir: Option<Field<String>>,
    limits: Option<Field<RawLimits>>,
    tokens: Option<Field<RawTokens>>,
}

/// The file's settings, each checked for what can be checked by itself.
pub struct File {
    /// Settings with their defaults; addresses to listen on are not in it yet.
    pub config: Config,
    pub listen: Option<(Place, String)>,
    pub admin_listen: Option<(Place, String)>,
    pub sites_dir: Option<PathBuf>,
}

impl Default for File {
    /// An empty file. It lacks sites, which nobody reports.
    fn default() -> Self {
        RawFile::default().check(Path::new(""), "", &mut Faults::default())
    }
}

/// Keys of the four kinds of table: top of the file, a site, limits, a token.
pub fn keys() -> [(&'static str, &'static [&'static str]); 4] {
    let (sites, limits) = (keys_of::<RawSite>(), keys_of::<RawLimits>());
    [("", keys_of::<RawFile>()), ("sites", sites), ("limits", limits), ("tokens", keys_of::<RawToken>())]
}

/// Reads the file, and notes all faults.
pub fn read(path: &Path, problems: &mut Problems) -> File {
    let Some(text) = document::text(path, FILE_BYTES_MAX, problems) else { return File::default() };
    let Some(table) = document::table(path, &text, problems) else { return File::default() };
    let mut faults = unknown_keys(table.get_ref());
    let mut found = Faults::default();
    let file = match RawFile::deserialize(toml::de::Deserializer::from(table)) {
        Ok(raw) => raw.check(path, &text, &mut found),
        // Not reached: a field that can't be read holds the reason.
        Err(error) => {
            found.wrong(&error.span().unwrap_or_default(), error.message());
            File::default()
        }
    };
    faults.append(found);
    faults.into_problems(path, &text, problems);
    file
}

/// Notes each key that nothing reads.
fn unknown_keys(root: &DeTable<'_>) -> Faults {
    let mut faults = Faults::default();
    let mut check = |table: &DeTable<'_>, known: &[&str], explain: &dyn Fn(&str, &DeValue<'_>) -> String| {
        for (key, value) in table {
            if !known.contains(&key.get_ref().as_ref()) {
                let shown: String = key.get_ref().chars().take(80).collect();
                let reason = explain(key.get_ref(), value.get_ref());
                faults.wrong(&key.span(), format!("unknown key `{shown}`; {reason}"));
            }
        }
    };
    let (root_keys, site_keys, limit_keys) = (keys_of::<RawFile>(), keys_of::<RawSite>(), keys_of::<RawLimits>());
    check(root, root_keys, &|key, value| match value {
        DeValue::Table(_) => match suggest::nearest(key, ["sites", "limits", "tokens"]) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("a site's table begins with `[sites.{key}]`"),
        },
        _ if site_keys.contains(&key) => {
            "it belongs to a site: put it below a line such as `[sites.my-portal]`".to_owned()
        }
        _ => suggest::nearest_or_all(key, root_keys),
    });
    let table_of = |key: &str| root.get(key).and_then(|value| value.get_ref().as_table());
    if let Some(limits) = table_of("limits") {
        check(limits, limit_keys, &|key, _| suggest::nearest_or_all(key, limit_keys));
    }
    for (id, site) in table_of("sites").into_iter().flatten() {
        if let Some(site) = site.get_ref().as_table() {
            site::unknown_keys(
                id.get_ref(),
                site,
                &|key| {
                    root_keys.contains(&key).then_some(
                        "it is not a site's: put it at the top of the file, above the first line in brackets",
                    )
                },
                &mut faults,
            );
        }
    }
    for (_, token) in table_of("tokens").into_iter().flatten() {
        if let Some(token) = token.get_ref().as_table() {
            tokens::unknown_keys(token, &mut faults);
        }
    }
    faults
}

impl RawFile {
    fn check(self, path: &Path, text: &str, faults: &mut Faults) -> File {
        let folder = path.parent().unwrap_or(Path::new(""));
        let mut secrets = SecretFiles { folder, exposed: Vec::new() };
        let listen = |field, check: fn(&str) -> Result<(), String>, faults: &mut Faults| {
            let (span, RawAddress(address)) = parts(faults.spanned(field)?);
            match check(&address) {
                Ok(()) => Some((Place::of(path, text, span.start), address)),
                Err(reason) => {
                    faults.wrong(&span, format!("`{address}` {reason}"));
                    None
                }
            }
        };
        let listen_public = listen(self.listen, address::check_public, faults);
        let listen_admin = listen(self.admin_listen, address::check, faults);
        let proxies = faults.list(self.trusted_proxies).map(Spanned::into_inner).unwrap_or_default();
        let proxies = proxies.iter().map(|proxy| proxy.get_ref().0);
        let [admin_token, admin_read_token] = secrets.tokens(self.admin_token_file, self.admin_read_token_file, faults);
        let sites_dir = file_name(self.sites_dir, faults).map(|name| folder.join(name.get_ref()));
        let mut config = Config {
            listen: defaults::LISTEN,
            admin_listen: defaults::ADMIN_LISTEN,
            data_dir: file_name(self.data_dir, faults)
                .map_or_else(|| defaults::DATA_DIR.into(), |name| folder.join(name.get_ref())),
            redis: redis(self.redis, faults),
            redis_password: secrets.read(self.redis_password_file, faults),
            redis_identity: secrets.identity(self.redis_tls_certificate_file, self.redis_tls_key_file, faults),
            redis_prefix: redis_prefix(self.redis_prefix, faults).unwrap_or_else(|| defaults::REDIS_PREFIX.to_owned()),
            redis_allow_eviction: faults.take(self.redis_allow_eviction).unwrap_or_default(),
            admin_token,
            admin_read_token,
            admin_open: faults.take(self.admin_open).unwrap_or_default(),
            tokens: tokens::check(self.tokens, faults),
            dashboard_http: faults.take(self.dashboard_http).unwrap_or_default(),
            path_prefix: path_prefix(self.path_prefix, faults),
            trusted_proxies: TrustedProxies {
                networks: proxies.clone().flatten().collect(),
                unix_socket: proxies.clone().any(|network| network.is_none()),
                field: faults.take(self.trusted_proxies_field).unwrap_or_default(),
            },
            dashboard: faults.take(self.dashboard).unwrap_or_default(),
            limits: faults.take(self.limits).map(|raw| raw.check(faults)).unwrap_or_default(),
            file: None,
            sites: Vec::new(),
            site_places: Vec::new(),
            aliases: Vec::new(),
            sites_dir: None,
            is_demo: false,
            log_format: LogFormat::default(),
            log_filter: defaults::LOG_FILTER.to_owned(),
            exposed_secret_files: Vec::new(),
            password_in_flag: false,
        };
        let sites = site::check(self.sites, sites_dir.is_none().then_some(text.trim_end().len()), faults);
        config.take_sites(sites, &Places::of(path, text));
        if config.redis.iter().any(RedisUrl::has_password) {
            secrets.note_if_exposed(path.to_owned());
        }
        config.exposed_secret_files = secrets.exposed;
        File { config, listen: listen_public, admin_listen: listen_admin, sites_dir }
    }
}

/// An address to listen on, as written.
#[derive(Debug)]
struct RawAddress(String);

impl Value for RawAddress {
    const EXAMPLE: &'static str = r#""127.0.0.1:8080""#;

    fn from_text(text: &str) -> Result<Self, String> {
        Ok(Self(text.to_owned()))
    }

    // A bare port is what most people try first.
    fn from_integer(port: i128) -> Result<Self, String> {
        Err(format!("expected an address and a port such as `\"127.0.0.1:{port}\"`, found a whole number"))
    }
}

/// The address of a Redis server.
struct RedisAddress(String);

impl Value for RedisAddress {
    const EXAMPLE: &'static str = r#""redis://127.0.0.1:6379""#;

    fn from_text(text: &str) -> Result<Self, String> {
        match crate::redis::parse(&[text.to_owned()], None) {
            Ok(_) => Ok(Self(text.to_owned())),
            Err(error) => Err(format!("the Redis address {error}")),
        }
    }
}

fn redis(field: Option<Field<List<RedisAddress>>>, faults: &mut Faults) -> Vec<RedisUrl> {
    let Some((span, addresses)) = faults.list(field).map(parts) else { return Vec::new() };
    let addresses: Vec<_> = addresses.into_iter().map(|address| address.into_inner().0).collect();
    if !addresses.is_empty()
        && let Err(error) = crate::redis::parse(&addresses, None)
    {
        faults.wrong(&span, format!("the Redis address {error}"));
    }
    addresses.into_iter().map(RedisUrl::new).collect()
}

fn redis_prefix(field: Option<Field<String>>, faults: &mut Faults) -> Option<String> {
    let (span, prefix) = parts(faults.spanned(field)?);
    if prefix.is_empty() || prefix.contains(['{', '}']) {
        let expected = "expected a name such as `thongke`, neither empty nor with braces, which mark a key's slot";
        faults.wrong(&span, format!("found `{prefix}`; {expected}"));
    }
    Some(prefix)
}

fn path_prefix(field: Option<Field<String>>, faults: &mut Faults) -> String {
    let Some((span, prefix)) = faults.spanned(field).map(parts) else { return String::new() };
    let is_right =
        prefix.is_empty() || (prefix.starts_with('/') && !prefix.ends_with('/') && !prefix.contains(['?', '#', ' ']));
    if !is_right {
        let inner = prefix.split(['?', '#', ' ']).next().unwrap_or_default().trim_matches('/');
        let meant = if inner.is_empty() { String::new() } else { format!("; did you mean `/{inner}`?") };
        let expected = "expected nothing, or a path such as `/tk` with a slash before it and none after it";
        faults.wrong(&span, format!("found `{prefix}`; {expected}{meant}"));
    }
    prefix
}

fn file_name(field: Option<Field<String>>, faults: &mut Faults) -> Option<Spanned<String>> {
    let name = faults.spanned(field)?;
    if name.get_ref().is_empty() {
        faults.wrong(&name.span(), "expected the path of a file or folder, or no such line; found an empty string");
        return None;
    }
    Some(name)
}

/// Shortest token: one of 16 random hexadecimal digits can't be guessed over a network.
const TOKEN_CHARS_MIN: usize = 16;

/// Files with secrets, relative to the folder of the configuration.
struct SecretFiles<'f> {
    folder: &'f Path,
    exposed: Vec<PathBuf>,
}

impl SecretFiles<'_> {
    fn note_if_exposed(&mut self, path: PathBuf) {
        if secret::is_readable_by_all(&path) {
            self.exposed.push(path);
        }
    }

    fn read(&mut self, field: Option<Field<String>>, faults: &mut Faults) -> Option<Secret> {
        let (span, name) = parts(file_name(field, faults)?);
        let path = self.folder.join(name);
        let secret = secret::read(&path).map_err(|reason| faults.wrong(&span, reason)).ok();
        self.note_if_exposed(path);
        secret
    }

    /// The tokens of the admin listener: for everything, and for reading. Long enough, and not the same.
    fn tokens(
        &mut self,
        write: Option<Field<String>>,
        read: Option<Field<String>>,
        faults: &mut Faults,
    ) -> [Option<Secret>; 2] {
        if let (None, Some(read)) = (&write, &read) {
            faults.wrong(&read.span(), "it grants reading only; set admin_token_file as well");
            return [None, None];
        }
        let read_span = read.as_ref().map(Spanned::span);
        let mut token = |field: Option<Field<String>>| {
            let span = field.as_ref().map(Spanned::span)?;
            let token = self.read(field, faults)?;
            let length = token.expose().chars().count();
            if length < TOKEN_CHARS_MIN {
                let reason = format!(
                    "the token has {length} characters, which can be guessed; use {TOKEN_CHARS_MIN} at least, for example \
                     of `openssl rand -hex 24`"
                );
                faults.wrong(&span, reason);
            }
            Some(token)
        };
        let tokens = [token(write), token(read)];
        if let ([Some(write), Some(same)], Some(span)) = (&tokens, read_span)
            && write == same
        {
            faults.wrong(&span, "its token is that of admin_token_file, so it would grant everything; use another");
        }
        tokens
    }

    /// Certificate and key of the node as a client of Redis: both or neither.
    fn identity(
        &mut self,
        certificate: Option<Field<String>>,
        key: Option<Field<String>>,
        faults: &mut Faults,
    ) -> Option<Identity> {
        match (&certificate, &key) {
            (Some(only), None) => {
                faults.wrong(&only.span(), "needs the certificate's key: set redis_tls_key_file as well");
            }
            (None, Some(only)) => {
                faults.wrong(&only.span(), "needs the key's certificate: set redis_tls_certificate_file as well");
            }
            _ => {}
        }
        let mut pem = |field, is_secret| {
            let (span, name) = parts(file_name(field, faults)?);
            let path = self.folder.join(name);
            let read = obstacle::read_text(&path, PEM_BYTES_MAX);
            let reason = match read {
                Ok(pem) if pem.contains("-----BEGIN ") => {
                    if is_secret {
                        self.note_if_exposed(path);
                    }
                    return Some(pem.into_bytes());
                }
                Ok(_) => format!("{} holds nothing in PEM format", path.display()),
                Err(error) => format!("can't read {}: {error}", path.display()),
            };
            faults.wrong(&span, reason);
            None
        };
        let (certificate, key) = (pem(certificate, false), pem(key, true));
        Some(Identity { certificate: certificate?, key: key? })
    }
}

fn parts<T>(value: Spanned<T>) -> (std::ops::Range<usize>, T) {
    (value.span(), value.into_inner())
}
