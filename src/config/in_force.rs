//! The settings in force, as TOML that can be loaded again: each with its origin in a comment.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};
use toml_edit::{Array, InlineTable, Value};

use super::address::UNIX;
use super::environment::variable_of;
use super::problem::{Places, Problems};
use super::{Config, Environment, Flags, LogFormat, document, file, tokens, variables};
use crate::counter::site::FilteredBots;
use crate::counter::{FigureKey, Origin, PublicPart, Site};
use crate::page::{PageCase, PageParams};
use crate::server::ForwardedField;
use crate::server::hit::{Per, Rate, WhenExceeded};

/// Largest file that is read for its places: as large as a configuration may be.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// Origins of the demo's pages, in words of a configuration.
const DEMO_ORIGINS: [&str; 4] = ["http://localhost:*", "https://localhost:*", "http://127.0.0.1:*", "http://[::1]:*"];

/// Places of keys in a file.
struct Written<'t> {
    table: &'t DeTable<'t>,
    places: &'t Places<'t>,
}

/// Origins of settings: flags, variables, the file, defaults.
struct Origins<'a> {
    flags: &'a Flags,
    environment: &'a Environment,
    variables: Vec<String>,
}

/// The settings of a configuration that was loaded from these flags and this environment.
pub fn in_force(config: &Config, flags: &Flags, environment: &Environment) -> String {
    let origins = Origins { flags, environment, variables: variables() };
    let mut problems = Problems::default();
    let path = flags.config.clone();
    let path = path.or_else(|| environment.get("THONGKE_CONFIG", &mut problems).map(PathBuf::from));
    let text = path.as_deref().and_then(|path| document::text(path, FILE_BYTES_MAX, &mut problems));
    let (path, text) = (path.unwrap_or_default(), text.unwrap_or_default());
    let table = document::table(&path, &text, &mut problems);
    let places = Places::of(&path, &text);
    let written = table.as_ref().map(|table| Written { table: table.get_ref(), places: &places });
    let written = written.as_ref();
    let mut shown = String::new();
    if config.redis.iter().any(|url| url.to_string() != url.expose()) {
        line(
            &mut shown,
            "# Passwords and parameters of Redis addresses are hidden: put them back before you load this.",
        );
    }
    let [(_, root), (_, of_site), (_, of_limits), _] = file::keys();
    let folder = path.parent().unwrap_or(Path::new(""));
    for key in root.iter().filter(|key| !["sites", "limits", "tokens"].contains(key)) {
        let (value, origin) = (value_of(config, key, written, folder), origins.of(key, written));
        match value {
            // Its sites have tables below, and a site stands in one place.
            Some(folder) if *key == "sites_dir" => {
                line(&mut shown, &format!("# {key} = {folder}  # {origin}; its sites follow"));
            }
            value => setting(&mut shown, key, value, &origin),
        }
    }
    for (key, value) in [("log_format", log_format(config)), ("log", config.log_filter.as_str())] {
        let origin = origins.of(key, None);
        line(&mut shown, &format!("# {key} = {}  # {origin}; a flag or variable only", Value::from(value)));
    }
    line(&mut shown, "\n[limits]");
    let limits = written.and_then(|written| written.table("limits"));
    for key in of_limits {
        setting(&mut shown, key, limit_of(config, key, limits.as_ref()), &of_file(key, limits.as_ref()));
    }
    let of_tokens = written.and_then(|written| written.table("tokens"));
    for (name, grant) in &config.tokens {
        let place = of_tokens.as_ref().and_then(|tokens| tokens.line(name.as_str())).unwrap_or_default();
        line(&mut shown, &format!("\n# {place}\n{}", tokens::lines(name, grant).trim_end()));
    }
    sites(&mut shown, config, of_site, written);
    shown
}

fn line(shown: &mut String, text: &str) {
    // Writing to a string can't fail.
    let _ = writeln!(shown, "{text}");
}

fn setting(shown: &mut String, key: &str, value: Option<Value>, origin: &str) {
    match value {
        Some(mut value) => {
            value.decor_mut().clear();
            line(shown, &format!("{key} = {value}  # {origin}"));
        }
        None => line(shown, &format!("# {key} is not set")),
    }
}

fn sites(shown: &mut String, config: &Config, keys: &[&str], written: Option<&Written<'_>>) {
    let of_one_file = written.and_then(|written| written.table("sites"));
    for (at, site) in config.sites.iter().enumerate() {
        let place = config.site_places.get(at).map_or_else(|| "built in".to_owned(), |place| place.line());
        line(shown, &format!("\n[sites.{}]  # {place}", site.id));
        let in_one_file = of_one_file.as_ref().and_then(|sites| sites.table(site.id.as_str()));
        match (in_one_file, &config.sites_dir) {
            (None, Some(folder)) => {
                let path = folder.file_of(site.id.as_str());
                let mut problems = Problems::default();
                let text = document::text(&path, FILE_BYTES_MAX, &mut problems).unwrap_or_default();
                let table = document::table(&path, &text, &mut problems);
                let places = Places::of(&path, &text);
                let written = table.as_ref().map(|table| Written { table: table.get_ref(), places: &places });
                site_settings(shown, site, keys, written.as_ref());
            }
            (in_one_file, _) => site_settings(shown, site, keys, in_one_file.as_ref()),
        }
    }
}

fn site_settings(shown: &mut String, site: &Site, keys: &[&str], written: Option<&Written<'_>>) {
    for key in keys {
        setting(shown, key, site_value(site, key, written), &of_file(key, written));
    }
}

fn of_file(key: &str, written: Option<&Written<'_>>) -> String {
    written.and_then(|written| written.line(key)).unwrap_or_else(|| "default".to_owned())
}

impl Origins<'_> {
    /// The place of a setting at the top of the file that is in force.
    fn of(&self, key: &str, written: Option<&Written<'_>>) -> String {
        let Flags { config: _, listen, admin_listen, data_dir, sites_dir, redis, log_format } = self.flags;
        let has_flag = match key {
            "listen" => listen.is_some(),
            "admin_listen" => admin_listen.is_some(),
            "data_dir" => data_dir.is_some(),
            "sites_dir" => sites_dir.is_some(),
            "redis" => !redis.is_empty(),
            "log_format" => log_format.is_some(),
            _ => false,
        };
        let variable = variable_of(key);
        if has_flag {
            format!("--{}", key.replace('_', "-"))
        } else if self.variables.contains(&variable) && self.environment.has(&variable) {
            variable
        } else {
            of_file(key, written)
        }
    }
}

impl<'t> Written<'t> {
    fn table(&self, key: &str) -> Option<Self> {
        let table = self.table.get(key)?.get_ref().as_table()?;
        Some(Self { table, places: self.places })
    }

    fn line(&self, key: &str) -> Option<String> {
        let (key, _) = self.table.get_key_value(key)?;
        Some(self.places.at(key.span().start).line())
    }

    /// The value as it was written.
    fn value(&self, key: &str) -> Option<Value> {
        value(self.table.get(key)?)
    }
}

fn value(written: &Spanned<DeValue<'_>>) -> Option<Value> {
    Some(match written.get_ref() {
        DeValue::String(text) => text.as_ref().into(),
        DeValue::Boolean(value) => (*value).into(),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix()).ok()?.into(),
        DeValue::Float(number) => number.as_str().parse::<f64>().ok()?.into(),
        DeValue::Datetime(_) => return None,
        DeValue::Array(items) => items.iter().filter_map(value).collect::<Array>().into(),
        DeValue::Table(entries) => {
            let entries = entries.iter().filter_map(|(key, entry)| Some((key.get_ref().as_ref(), value(entry)?)));
            entries.collect::<InlineTable>().into()
        }
    })
}

fn list<T: ToString>(items: impl IntoIterator<Item = T>) -> Value {
    items.into_iter().map(|item| item.to_string()).collect::<Array>().into()
}

/// As long as the program may run in another folder.
fn absolute(path: &Path) -> Value {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).to_string_lossy().into_owned().into()
}

fn log_format(config: &Config) -> &'static str {
    match config.log_format {
        LogFormat::Text => "text",
        LogFormat::Json => "json",
    }
}

/// A setting at the top of the file. `folder`: the one in which paths of the file begin.
fn value_of(config: &Config, key: &str, written: Option<&Written<'_>>, folder: &Path) -> Option<Value> {
    let as_written = || written.and_then(|written| written.value(key));
    Some(match key {
        "listen" => config.listen.to_string().into(),
        "admin_listen" => config.admin_listen.to_string().into(),
        "data_dir" => absolute(&config.data_dir),
        "redis" => list(&config.redis),
        "redis_prefix" => config.redis_prefix.as_str().into(),
        "redis_allow_eviction" => config.redis_allow_eviction.into(),
        "admin_open" => config.admin_open.into(),
        "dashboard" => config.dashboard.as_str().into(),
        "dashboard_http" => config.dashboard_http.into(),
        "path_prefix" => config.path_prefix.as_str().into(),
        "trusted_proxies" => {
            let proxies = &config.trusted_proxies;
            let networks = proxies.networks.iter().map(ToString::to_string);
            list(networks.chain(proxies.unix_socket.then(|| UNIX.to_owned())))
        }
        "trusted_proxies_field" => match config.trusted_proxies.field {
            ForwardedField::XForwardedFor => "X-Forwarded-For".into(),
            ForwardedField::Forwarded => "Forwarded".into(),
        },
        "sites_dir" => absolute(&config.sites_dir.as_ref()?.path),
        key if key.ends_with("_file") => absolute(&folder.join(as_written()?.as_str()?)),
        _ => as_written()?,
    })
}

fn limit_of(config: &Config, key: &str, written: Option<&Written<'_>>) -> Option<Value> {
    let limits = &config.limits;
    let (rates, timeouts) = (&limits.rates, &limits.timeouts);
    let burst = |rate: Option<Rate>| Some(i64::from(rate?.burst.get()).into());
    Some(match key {
        "enabled" => limits.new_pages.into(),
        "address_rate" => rate(rates.address),
        "address_burst" => return burst(rates.address),
        "page_rate" => rate(rates.page),
        "page_burst" => return burst(rates.page),
        "site_rate" => rate(rates.site),
        "site_burst" => return burst(rates.site),
        "read_rate" => rate(rates.reads),
        "read_burst" => return burst(rates.reads),
        "when_exceeded" => match rates.when_exceeded {
            WhenExceeded::Refuse => "refuse".into(),
            WhenExceeded::Ignore => "ignore".into(),
        },
        "connections" => i64::from(limits.connections).into(),
        "connections_per_address" => i64::from(limits.connections_per_address).into(),
        "header_timeout" => duration(timeouts.head),
        "body_timeout" => duration(timeouts.body),
        "write_timeout" => duration(timeouts.write),
        "idle_timeout" => duration(timeouts.idle),
        _ => return written.and_then(|written| written.value(key)),
    })
}

fn rate(rate: Option<Rate>) -> Value {
    match rate {
        None => 0.into(),
        Some(Rate { hits, per: Per::Second, .. }) => i64::from(hits.get()).into(),
        Some(Rate { hits, per, .. }) => format!("{hits}/{}", per.as_str()).into(),
    }
}

fn duration(duration: Duration) -> Value {
    humantime::format_duration(duration).to_string().into()
}

fn site_value(site: &Site, key: &str, written: Option<&Written<'_>>) -> Option<Value> {
    Some(match key {
        "name" if site.name.is_empty() => return None,
        "name" => site.name.as_str().into(),
        "origins" if site.origins == [Origin::any_localhost()] => list(DEMO_ORIGINS),
        "origins" => list(&site.origins),
        "time_zone" => site.time_zone.name().into(),
        "language" => site.language.tag().into(),
        "figures" => list(site.figures.iter().map(|figure| figure.as_str())),
        "label_style" => site.label_style.as_str().into(),
        "labels" => return labels(site),
        "page_params" => match &site.page_rules.params {
            PageParams::AllButNoise => return None,
            PageParams::Only(patterns) => list(patterns.iter()),
        },
        "page_params_ignored" => return some(site.page_rules.ignored.iter()),
        "page_case" => match site.page_rules.case {
            PageCase::Auto => "auto".into(),
            PageCase::Keep => "keep".into(),
            PageCase::Fold => "fold".into(),
        },
        "page_cap" => i64::from(site.page_cap).into(),
        "vouching_networks" => i64::from(site.vouching_networks).into(),
        "public" => list(PublicPart::ALL.into_iter().filter(|part| site.public.contains(*part))),
        "page_days" => i64::from(site.page_retention.days).into(),
        "page_months" => i64::from(site.page_retention.months).into(),
        "bots" => match site.filtered_bots {
            FilteredBots::None => "none".into(),
            FilteredBots::ExceptTools => "crawlers".into(),
            FilteredBots::All => "all".into(),
        },
        "exclude_addresses" => list(site.excluded_addresses.as_ref()?.iter()),
        "repeat_window" => duration(site.repeat_window),
        // The figures say it.
        "visitors" if !site.visitors && site.counts_visitors() => return None,
        "visitors" => site.visitors.into(),
        "titles" => site.titles.into(),
        "aliases" => return some(&site.aliases),
        "counted_as" => site.counted_as.as_str().into(),
        "paths" => list(site.paths.as_ref()?.iter()),
        _ => return written.and_then(|written| written.value(key)),
    })
}

fn labels(site: &Site) -> Option<Value> {
    let own = FigureKey::ALL.into_iter().filter_map(|key| Some((key.as_str(), site.labels.get(&key)?.as_str())));
    let labels: InlineTable = own.chain(site.own_title.iter().map(|title| ("title", title.as_str()))).collect();
    (!labels.is_empty()).then_some(labels.into())
}

/// A list that is not empty.
fn some<T: ToString>(items: impl IntoIterator<Item = T>) -> Option<Value> {
    let mut items = items.into_iter().peekable();
    items.peek().is_some().then(|| list(items))
}
