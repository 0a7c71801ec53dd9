//! The TOML file.

use std::io::ErrorKind;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::limits::{self, Limits};
use super::network::{self, TrustedProxies, UNIX_SOCKET};
use super::problem::{Findings, Place, Problems};
use super::reader::{Reader, Text};
use super::secret::{self, RedisUrl, Secret};
use super::{address, identity, site, suggest, syntax};
use crate::counter::Site;
use crate::redis::Identity;

/// Keys that name files which are secret.
const SECRET_FILES: [&str; 4] = ["redis_password_file", identity::KEY, "admin_token_file", "admin_read_token_file"];

const KEYS: [&str; 17] = [
    "listen",
    "admin_listen",
    "data_dir",
    "redis",
    "redis_password_file",
    identity::CERTIFICATE,
    identity::KEY,
    "redis_prefix",
    "redis_allow_eviction",
    "admin_token_file",
    "admin_read_token_file",
    "admin_open",
    "path_prefix",
    "trusted_proxies",
    "trusted_proxies_field",
    "sites",
    "limits",
];

/// A value, and where it stands.
#[derive(Debug)]
pub struct Placed<T> {
    pub value: T,
    pub place: Place,
}

/// The file's keys, each checked for what can be checked by itself.
#[derive(Debug, Default)]
pub struct File {
    pub listen: Option<Placed<String>>,
    pub admin_listen: Option<Placed<String>>,
    pub data_dir: Option<PathBuf>,
    pub redis: Option<Placed<Vec<String>>>,
    pub redis_password: Option<Secret>,
    pub redis_identity: Option<Identity>,
    pub redis_prefix: Option<String>,
    pub redis_allow_eviction: bool,
    pub admin_token: Option<Secret>,
    pub admin_read_token: Option<Secret>,
    pub admin_open: bool,
    pub path_prefix: String,
    pub trusted_proxies: TrustedProxies,
    pub limits: Limits,
    pub sites: Vec<Site>,
    /// Those of the files with secrets that every user of the machine may read.
    pub secrets_for_all: Vec<PathBuf>,
}

/// Reads the file, and notes all that is wrong with it.
pub fn read(path: &Path, problems: &mut Problems) -> File {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) => {
            let what = match error.kind() {
                ErrorKind::IsADirectory => "it is a folder; expected a file such as `thongke.toml` in it".to_owned(),
                _ => error.to_string(),
            };
            problems.add(format!("can't read the configuration {}: {what}", path.display()));
            return File::default();
        }
    };
    let text = match std::str::from_utf8(&bytes) {
        Ok(text) => text,
        Err(error) => {
            let before = std::str::from_utf8(bytes.get(..error.valid_up_to()).unwrap_or_default()).unwrap_or_default();
            let place = Place::of(path, before, before.len());
            problems.add_at(place, "the file is not in UTF-8 from here on; save it in this encoding");
            return File::default();
        }
    };
    let mut findings = Findings::new(path, text);
    let file = parse(path, text, &mut findings);
    findings.into_problems(problems);
    file
}

fn parse(path: &Path, text: &str, findings: &mut Findings<'_>) -> File {
    let (table, errors) = DeTable::parse_recoverable(text);
    let rest_is_sound = syntax::note(&errors, findings);
    if !rest_is_sound {
        return File::default();
    }
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut reader = Reader::new(table.get_ref(), findings);
    reader.refuse_unknown(&KEYS, |key, value| match value {
        DeValue::Table(_) => match suggest::nearest(key, ["sites", "limits"]) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("a site's table begins with `[sites.{key}]`"),
        },
        _ if site::KEYS.contains(&key) => {
            "it belongs to a site: put it below a line such as `[sites.my-portal]`".to_owned()
        }
        _ => suggest::nearest_or_all(key, &KEYS),
    });
    File {
        listen: listen(&mut reader, "listen", table.get_ref()),
        admin_listen: listen(&mut reader, "admin_listen", table.get_ref()),
        data_dir: data_dir(&mut reader, folder),
        redis: redis(&mut reader),
        redis_password: secret_file(&mut reader, "redis_password_file", folder),
        redis_identity: identity::read(&mut reader, folder),
        redis_prefix: redis_prefix(&mut reader),
        redis_allow_eviction: reader.boolean("redis_allow_eviction").unwrap_or(false),
        admin_token: secret_file(&mut reader, "admin_token_file", folder),
        admin_read_token: read_token(&mut reader, folder, table.get_ref()),
        admin_open: reader.boolean("admin_open").unwrap_or(false),
        path_prefix: path_prefix(&mut reader),
        trusted_proxies: trusted_proxies(&mut reader),
        limits: limits::read(&mut reader),
        sites: sites(&mut reader, table.get_ref()),
        secrets_for_all: secrets_for_all(path, table.get_ref()),
    }
}

fn secrets_for_all(path: &Path, table: &DeTable<'_>) -> Vec<PathBuf> {
    let folder = path.parent().unwrap_or(Path::new(""));
    let named = SECRET_FILES.iter().filter_map(|key| table.get(*key)?.get_ref().as_str().map(|text| folder.join(text)));
    let addresses = table.get("redis").and_then(|value| value.get_ref().as_array());
    let mut addresses = addresses.into_iter().flatten().filter_map(|address| address.get_ref().as_str());
    let own = addresses.any(|address| RedisUrl::new(address).has_password()).then(|| path.to_owned());
    named.chain(own).filter(|file| secret::is_for_all(file)).collect()
}

fn listen(reader: &mut Reader<'_, '_, '_>, key: &str, table: &DeTable<'_>) -> Option<Placed<String>> {
    // A bare port is what most people try first.
    let port = table.get(key).and_then(|value| value.get_ref().as_integer()).map(ToString::to_string);
    let port = port.filter(|port| port.parse::<u16>().is_ok());
    let default = if key == "listen" { "8080" } else { "8081" };
    let example = format!("\"127.0.0.1:{}\"", port.as_deref().unwrap_or(default));
    let Text { text, span } = reader.string(key, &example)?;
    let checked = if key == "listen" { address::check_public(text) } else { address::check(text) };
    if let Err(reason) = checked {
        reader.findings().wrong(&span, format!("{key} `{text}` {reason}"));
        return None;
    }
    Some(Placed { value: text.to_owned(), place: reader.findings().place(&span) })
}

fn data_dir(reader: &mut Reader<'_, '_, '_>, folder: &Path) -> Option<PathBuf> {
    let Text { text, span } = reader.string("data_dir", r#""/var/lib/thongke""#)?;
    if text.is_empty() {
        reader.findings().wrong(&span, "data_dir is empty; expected a folder, such as `/var/lib/thongke`");
        return None;
    }
    Some(folder.join(text))
}

fn redis(reader: &mut Reader<'_, '_, '_>) -> Option<Placed<Vec<String>>> {
    let addresses = reader.strings("redis", r#"["redis://127.0.0.1:6379"]"#)?;
    let mut all_are_right = true;
    for Text { text, span } in &addresses.texts {
        if let Err(error) = crate::redis::parse(&[(*text).to_owned()], None) {
            reader.findings().wrong(span, format!("the Redis address {error}"));
            all_are_right = false;
        }
    }
    let value: Vec<_> = addresses.texts.iter().map(|address| address.text.to_owned()).collect();
    if all_are_right
        && !value.is_empty()
        && let Err(error) = crate::redis::parse(&value, None)
    {
        reader.findings().wrong(&addresses.span, format!("the Redis address {error}"));
    }
    Some(Placed { value, place: reader.findings().place(&addresses.span) })
}

fn redis_prefix(reader: &mut Reader<'_, '_, '_>) -> Option<String> {
    let Text { text, span } = reader.string("redis_prefix", r#""thongke""#)?;
    if text.is_empty() || text.contains(['{', '}']) {
        let reason = format!(
            "redis_prefix is `{text}`; expected a name such as `thongke`, neither empty nor with braces, which mark a key's slot"
        );
        reader.findings().wrong(&span, reason);
    }
    Some(text.to_owned())
}

fn secret_file(reader: &mut Reader<'_, '_, '_>, key: &str, folder: &Path) -> Option<Secret> {
    let Text { text, span } = reader.string(key, r#""/etc/thongke/secret""#)?;
    if text.is_empty() {
        reader.findings().wrong(&span, format!("{key} is empty; expected a file, or no such line"));
        return None;
    }
    match secret::read(&folder.join(text)) {
        Ok(secret) => Some(secret),
        Err(reason) => {
            reader.findings().wrong(&span, format!("{key}: {reason}"));
            None
        }
    }
}

fn read_token(reader: &mut Reader<'_, '_, '_>, folder: &Path, table: &DeTable<'_>) -> Option<Secret> {
    const KEY: &str = "admin_read_token_file";
    let secret = secret_file(reader, KEY, folder)?;
    if !table.contains_key("admin_token_file")
        && let Some(Text { span, .. }) = reader.string(KEY, "")
    {
        reader
            .findings()
            .wrong(&span, "admin_read_token_file is only for reading; admin_token_file must say who may do more");
    }
    Some(secret)
}

fn path_prefix(reader: &mut Reader<'_, '_, '_>) -> String {
    let Some(Text { text, span }) = reader.string("path_prefix", r#""/tk""#) else { return String::new() };
    let is_right =
        text.is_empty() || (text.starts_with('/') && !text.ends_with('/') && !text.contains(['?', '#', ' ']));
    if !is_right {
        let inner = text.split(['?', '#', ' ']).next().unwrap_or_default().trim_matches('/');
        let meant = if inner.is_empty() { String::new() } else { format!("; did you mean `/{inner}`?") };
        let reason = format!(
            "path_prefix is `{text}`; expected nothing, or a path such as `/tk` with a slash before it and none after it{meant}"
        );
        reader.findings().wrong(&span, reason);
    }
    text.to_owned()
}

fn trusted_proxies(reader: &mut Reader<'_, '_, '_>) -> TrustedProxies {
    let mut trusted = TrustedProxies::default();
    if let Some(proxies) = reader.strings("trusted_proxies", r#"["10.0.0.0/8"]"#) {
        for Text { text, span } in &proxies.texts {
            match network::parse(text) {
                _ if *text == UNIX_SOCKET => trusted.unix_socket = true,
                Ok(network) => trusted.networks.push(network),
                Err(reason) => reader.findings().wrong(span, format!("trusted_proxies: `{text}` {reason}")),
            }
        }
    }
    if let Some(Text { text, span }) = reader.string("trusted_proxies_field", r#""X-Forwarded-For""#) {
        match network::parse_field(text) {
            Ok(field) => trusted.field = field,
            Err(reason) => reader.findings().wrong(&span, format!("trusted_proxies_field: `{text}` {reason}")),
        }
    }
    trusted
}

fn sites(reader: &mut Reader<'_, '_, '_>, table: &DeTable<'_>) -> Vec<Site> {
    let lacks = "there is no site; add one as `[sites.my-portal]` with its `origins`";
    let Some((sites, span)) = reader.table("sites", "[sites.my-portal]") else {
        if !table.contains_key("sites") {
            // At the end, where one is added.
            let end = reader.findings().text().trim_end().len();
            reader.findings().missing(&Range { start: end, end }, lacks);
        }
        return Vec::new();
    };
    if sites.is_empty() {
        reader.findings().missing(&span, lacks);
    }
    site::read_all(sites, &KEYS, reader.findings())
}
