//! The TOML file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use chrono_tz::Tz;
use serde::Deserialize;

use crate::counter::label::Labels;
use crate::counter::site::PageRetention;
use crate::counter::{FigureKey, Language, Origin, Site, SiteId};

use super::ConfigError;

/// The file's keys, checked for what TOML can check.
#[derive(Debug, Default)]
pub struct File {
    pub listen: Option<String>,
    pub admin_listen: Option<String>,
    pub data_dir: Option<PathBuf>,
    pub redis: Vec<String>,
    pub redis_password_file: Option<PathBuf>,
    pub redis_prefix: Option<String>,
    pub redis_allow_eviction: bool,
    pub admin_token_file: Option<PathBuf>,
    pub path_prefix: String,
    pub sites: Vec<Site>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    listen: Option<String>,
    admin_listen: Option<String>,
    data_dir: Option<PathBuf>,
    #[serde(default)]
    redis: Vec<String>,
    redis_password_file: Option<PathBuf>,
    redis_prefix: Option<String>,
    #[serde(default)]
    redis_allow_eviction: bool,
    admin_token_file: Option<PathBuf>,
    #[serde(default)]
    path_prefix: String,
    /// Accepted, and not acted on yet.
    #[expect(dead_code)]
    trusted_proxies: Option<Vec<String>>,
    /// Accepted, and not acted on yet.
    #[expect(dead_code)]
    limits: Option<RawLimits>,
    sites: BTreeMap<toml::Spanned<String>, RawSite>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLimits {
    #[expect(dead_code)]
    enabled: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSite {
    #[serde(default)]
    name: String,
    origins: toml::Spanned<Vec<toml::Spanned<String>>>,
    time_zone: Option<toml::Spanned<String>>,
    language: Option<toml::Spanned<String>>,
    figures: Option<Vec<toml::Spanned<String>>>,
    #[serde(default)]
    labels: BTreeMap<toml::Spanned<String>, String>,
    page_params: Option<Vec<String>>,
    page_days: Option<u32>,
    page_months: Option<u32>,
    /// Accepted, and not acted on yet.
    #[expect(dead_code)]
    page_cap: Option<u32>,
    /// Accepted, and not acted on yet.
    #[expect(dead_code)]
    repeat_window: Option<String>,
}

/// Longest keeping of page figures, in days and months: a hundred years.
const PAGE_DAYS_MAX: u32 = 36_525;
const PAGE_MONTHS_MAX: u32 = 1_200;

pub fn read(path: &Path) -> Result<File, ConfigError> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| ConfigError(format!("can't read the configuration {}: {error}", path.display())))?;
    parse(&text).map_err(|(span, reason)| {
        let line = 1 + text.get(..span.start).unwrap_or_default().matches('\n').count();
        ConfigError(format!("{}:{line}: {reason}", path.display()))
    })
}

type Wrong = (std::ops::Range<usize>, String);

fn parse(text: &str) -> Result<File, Wrong> {
    let raw: Raw = toml::from_str(text).map_err(|error| (error.span().unwrap_or(0..0), error.message().to_owned()))?;
    let prefix_is_right = raw.path_prefix.is_empty()
        || (raw.path_prefix.starts_with('/')
            && !raw.path_prefix.ends_with('/')
            && !raw.path_prefix.contains(['?', '#', ' ']));
    if !prefix_is_right {
        let reason = format!(
            "path_prefix is `{}`; expected nothing, or a path such as `/tk` without a slash at its end",
            raw.path_prefix
        );
        return Err((0..0, reason));
    }
    if raw.sites.is_empty() {
        return Err((0..0, "there is no site; add one as `[sites.my-portal]` with its `origins`".to_owned()));
    }
    let prefix_of_keys = raw.redis_prefix.as_deref().unwrap_or("thongke");
    if prefix_of_keys.is_empty() || prefix_of_keys.contains(['{', '}']) {
        return Err((0..0, "redis_prefix must not be empty or hold braces, which mark a key's slot".to_owned()));
    }
    Ok(File {
        sites: raw.sites.into_iter().map(|(id, site)| site.check(&id)).collect::<Result<_, _>>()?,
        listen: raw.listen,
        admin_listen: raw.admin_listen,
        data_dir: raw.data_dir,
        redis: raw.redis,
        redis_password_file: raw.redis_password_file,
        redis_prefix: raw.redis_prefix,
        redis_allow_eviction: raw.redis_allow_eviction,
        admin_token_file: raw.admin_token_file,
        path_prefix: raw.path_prefix,
    })
}

/// A value as the type it stands for, or what is wrong with it, and where.
fn read_as<T: std::str::FromStr<Err: std::fmt::Display>>(value: &toml::Spanned<String>) -> Result<T, Wrong> {
    value.get_ref().parse().map_err(|error: T::Err| (value.span(), error.to_string()))
}

impl RawSite {
    fn check(self, id: &toml::Spanned<String>) -> Result<Site, Wrong> {
        let mut site = Site::with_defaults(read_as::<SiteId>(id)?, Vec::new());
        if self.origins.get_ref().is_empty() {
            let reason = format!(
                "site `{}` has no origins; name those of its pages, for example `origins = [\"https://portal.example.vn\"]`",
                id.get_ref()
            );
            return Err((self.origins.span(), reason));
        }
        site.origins = self.origins.get_ref().iter().map(read_as::<Origin>).collect::<Result<_, _>>()?;
        site.name = self.name;
        if let Some(zone) = &self.time_zone {
            site.time_zone = time_zone(zone)?;
        }
        if let Some(language) = &self.language {
            site.language = read_as::<Language>(language)?;
        }
        if let Some(figures) = &self.figures {
            site.figures = figures.iter().map(read_as::<FigureKey>).collect::<Result<_, _>>()?;
        }
        for (key, label) in self.labels {
            let labels: &mut Labels = &mut site.labels;
            labels.insert(read_as::<FigureKey>(&key)?, label);
        }
        if let Some(params) = self.page_params {
            site.page_params = params;
        }
        site.page_retention = PageRetention {
            days: self.page_days.unwrap_or(site.page_retention.days).min(PAGE_DAYS_MAX),
            months: self.page_months.unwrap_or(site.page_retention.months).min(PAGE_MONTHS_MAX),
        };
        Ok(site)
    }
}

fn time_zone(name: &toml::Spanned<String>) -> Result<Tz, Wrong> {
    let text = name.get_ref();
    text.parse().map_err(|_| {
        let nearest = chrono_tz::TZ_VARIANTS
            .iter()
            .map(|zone| zone.name())
            .max_by(|a, b| strsim::jaro_winkler(a, text).total_cmp(&strsim::jaro_winkler(b, text)))
            .unwrap_or("Asia/Ho_Chi_Minh");
        (name.span(), format!("`{text}` is not an IANA time zone; did you mean `{nearest}`?"))
    })
}
