//! `thongke check`: tries everything that the configuration names, and gives an expert's warnings.

use std::io::Write as _;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use anyhow::bail;
use chrono::{DateTime, Utc};
use hyper::Method;

use crate::config::{Config, PublicAddress, is_of_this_machine};
use crate::counter::{Origin, Site};
use crate::ledger::{DirectoryLock, Holder, OpenError, inspect};
use crate::redis;
use crate::server::routes::Admin;

use super::clock::clock_doubt;
use super::parameters::page_warnings;
use super::{NodeRequest, ask};

/// Most sites that are shown; the rest is counted.
const SITES_SHOWN_MAX: usize = 100;
/// Most warnings of one kind that are shown.
const WARNINGS_SHOWN_MAX: usize = 20;

/// Findings, printed one a line.
#[derive(Default)]
struct Report {
    problems: usize,
}

impl Report {
    fn fine(&self, what: &str) {
        say("ok", what);
    }

    fn warn(&self, what: &str) {
        say("warning", what);
    }

    fn wrong(&mut self, what: &str) {
        say("error", what);
        self.problems += 1;
    }
}

/// Prints a line, and goes on even if the reading program has ended.
fn say(kind: &str, what: &str) {
    let _ = writeln!(std::io::stdout(), "{kind}: {what}");
}

/// Prints all findings; fails if anything doesn't work.
pub fn check(config: &Config) -> anyhow::Result<()> {
    let mut report = Report::default();
    data_directory(config, &mut report);
    clock(&report);
    listeners(config, &mut report);
    secrets(config, &report);
    let redis_time = redis_server(config, &mut report)?;
    belief(config, redis_time, &report)?;
    sites(config, &report);
    page_addresses(config, &report)?;
    match report.problems {
        0 => Ok(()),
        1 => bail!("something that the configuration names doesn't work"),
        problems => bail!("{problems} things that the configuration names don't work"),
    }
}

fn data_directory(config: &Config, report: &mut Report) {
    let shown = config.data_dir.display();
    match DirectoryLock::holder(&config.data_dir) {
        Some(Holder { admin_address: Some(admin), .. }) => {
            report.fine(&format!("a node runs on {shown}; its admin listener is {admin}"));
        }
        Some(Holder { process, .. }) => report.warn(&format!("process {process} uses the data directory {shown}")),
        None => match usable(&config.data_dir).and_then(|()| inspect(&config.data_dir)) {
            Ok(()) => report.fine(&format!("the data directory {shown} can be used")),
            Err(error) => return report.wrong(&error.to_string()),
        },
    }
    if let Some(danger) = danger_of_filesystem(&config.data_dir) {
        report.warn(&format!("the data directory {shown} {danger}"));
    }
}

/// The folder itself, or the one in which it would be made.
fn nearest(directory: &Path) -> &Path {
    let mut there = directory.ancestors().map(|folder| if folder == Path::new("") { Path::new(".") } else { folder });
    there.find(|folder| folder.exists()).unwrap_or(Path::new("/"))
}

/// Checks that a node could use the directory, and creates nothing: a check of a wrong folder leaves it as it is.
fn usable(directory: &Path) -> Result<(), OpenError> {
    let unusable = |source| OpenError::Refused { what: "the data directory", path: directory.to_owned(), source };
    if DirectoryLock::exists(directory) {
        return DirectoryLock::take(directory).map(drop);
    }
    let nearest = nearest(directory);
    if !nearest.is_dir() {
        return Err(unusable(std::io::ErrorKind::NotADirectory.into()));
    }
    let access = rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK;
    rustix::fs::access(nearest, access).map_err(|error| unusable(error.into()))
}

/// Danger that the directory's filesystem poses to counts.
fn danger_of_filesystem(directory: &Path) -> Option<&'static str> {
    // Numbers of linux/magic.h.
    match rustix::fs::statfs(nearest(directory)).ok()?.f_type {
        0x0102_1994 | 0x8584_58f6 => {
            Some("is in memory (tmpfs): its counts are lost at the next boot; put it on a disk")
        }
        0x794c_7630 => Some(
            "is in a container's own layer (overlay): its counts are lost with the container; mount a volume there",
        ),
        0x6969 | 0x517b | 0xff53_4d42 | 0xfe53_4d42 => {
            Some("is on a network filesystem, whose locks and syncs SQLite can't rely on; put it on a local disk")
        }
        _ => None,
    }
}

/// A wrong clock puts hits into the wrong day, for ever.
fn clock(report: &Report) {
    // Without systemd's time service nothing is known of the clock.
    let Ok(output) = Command::new("timedatectl").args(["show", "--property=NTPSynchronized", "--value"]).output()
    else {
        return;
    };
    match String::from_utf8_lossy(&output.stdout).trim() {
        "yes" => report.fine("the clock is synchronised"),
        "no" => report.warn(
            "the clock is not synchronised, and it decides a hit's day: install chrony, or `timedatectl set-ntp true`",
        ),
        _ => {}
    }
}

/// A clock that is far from the days of the node's file.
fn belief(config: &Config, redis: Option<DateTime<Utc>>, report: &Report) -> anyhow::Result<()> {
    if let Some(doubt) = clock_doubt(config, redis)? {
        report.warn(&format!("the clock is not believed: {doubt}"));
    }
    Ok(())
}

/// The consequence where all readers seem to have one address.
const AS_ONE: &str =
    ": one network is all that a page needs to be listed and named, and all share one network's limits";

/// True if a node runs and has had hits through a proxy that it doesn't trust.
fn has_seen_a_proxy(config: &Config) -> bool {
    let Some(Holder { admin_address: Some(admin), .. }) = DirectoryLock::holder(&config.data_dir) else { return false };
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return false };
    // A node that doesn't answer is `thongke health`'s to report.
    let answer = runtime.block_on(ask(config, &admin, NodeRequest::of_node(Method::GET, Admin::Metrics)));
    answer.is_ok_and(|text| text.windows(SEEN.len()).any(|part| part == SEEN))
}

/// The metric's line.
const SEEN: &[u8] = b"\nthongke_unbelieved_proxy 1\n";

/// Sign of a proxy in front, although none is trusted.
fn sign_of_a_proxy(config: &Config) -> Option<&'static str> {
    let PublicAddress::Tcp(address) = config.listen else { return None };
    if !config.trusted_proxies.networks.is_empty() {
        return None;
    }
    let serves_others =
        || config.sites.iter().flat_map(|site| &site.origins).any(|origin| !origin.is_of_this_machine());
    if !config.path_prefix.is_empty() {
        Some("path_prefix is set")
    } else if address.ip().is_loopback() && serves_others() {
        Some("only this machine can reach --listen")
    } else {
        None
    }
}

fn listeners(config: &Config, report: &mut Report) {
    // A running node holds them itself.
    if DirectoryLock::holder(&config.data_dir).is_none() {
        let mut bindable = |setting, address| match TcpListener::bind(address) {
            Ok(_) => report.fine(&format!("--{setting} {address} is free")),
            Err(error) => report.wrong(&format!("--{setting} {address} can't be used: {error}")),
        };
        if let PublicAddress::Tcp(address) = config.listen {
            bindable("listen", address);
        }
        bindable("admin-listen", config.admin_listen);
        if let PublicAddress::Unix(path) = &config.listen {
            match path.parent().map(std::fs::read_dir) {
                Some(Ok(_)) => report.fine(&format!("the folder of --listen {} is there", config.listen)),
                _ => report.wrong(&format!("--listen {} can't be used: make its folder", config.listen)),
            }
        }
    }
    if matches!(config.listen, PublicAddress::Unix(_)) && !config.trusted_proxies.unix_socket {
        report.warn(
            &format!("the proxy on the unix socket is not trusted, so all clients look like one{AS_ONE}; add \"unix:\" to trusted_proxies"),
        );
    }
    if let Some(sign) = sign_of_a_proxy(config) {
        report.warn(&format!(
            "{sign}, so a proxy passes the readers' requests on, but none is trusted and all readers look like one{AS_ONE}; \
             name it in trusted_proxies"
        ));
    }
    if has_seen_a_proxy(config) {
        report.warn(&format!(
            "the running node has had hits through a proxy that it does not trust, so its readers look like one{AS_ONE}; \
             if the proxy is yours, name it in trusted_proxies"
        ));
    }
    if !is_of_this_machine(config.admin_listen) && config.admin_token.is_none() {
        report.warn(&format!(
            "the admin listener {} can be reached from other machines, and anyone who does can change counts; listen on \
             127.0.0.1 or set admin_token_file",
            config.admin_listen
        ));
    }
}

fn secrets(config: &Config, report: &Report) {
    if config.password_in_flag {
        report.warn(
            "the password in --redis can be read by everyone on this machine, in the list of processes; put it into \
             redis_password_file, or the address into THONGKE_REDIS",
        );
    }
    for file in &config.exposed_secret_files {
        report.warn(&format!(
            "the secret in {file} can be read by everyone on this machine; chmod o= {file}",
            file = file.display()
        ));
    }
}

/// Returns Redis's time, where it says it.
fn redis_server(config: &Config, report: &mut Report) -> anyhow::Result<Option<DateTime<Utc>>> {
    // The addresses were checked with the configuration; a password file may still be wrong.
    let Some(target) = config.redis_target()? else { return Ok(None) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let found = runtime.block_on(redis::preflight(&target, &config.redis_prefix, config.redis_allow_eviction));
    if found.problems.is_empty() {
        report.fine(&format!("Redis at {target} can be counted into (version {})", versions(&found.versions)));
        let differing = runtime.block_on(redis::disagreements(&target, &config.redis_prefix, &config.sites));
        for difference in differing.iter().take(WARNINGS_SHOWN_MAX) {
            report.wrong(&format!("Redis at {target}: {difference}"));
        }
        if let Some(more) = differing.len().checked_sub(WARNINGS_SHOWN_MAX).filter(|more| *more > 0) {
            report.wrong(&format!("Redis at {target}: {more} more sites differ"));
        }
    }
    for problem in &found.problems {
        report.wrong(&format!("Redis at {target}: {problem}"));
    }
    for warning in &found.warnings {
        report.warn(&format!("Redis at {target}: {warning}"));
    }
    Ok(found.time)
}

fn versions(versions: &[String]) -> String {
    let mut versions = versions.to_vec();
    versions.sort();
    versions.dedup();
    if versions.is_empty() { "unknown".to_owned() } else { versions.join(", ") }
}

fn sites(config: &Config, report: &Report) {
    for site in config.sites.iter().take(SITES_SHOWN_MAX) {
        let origins: Vec<_> = site.origins.iter().map(ToString::to_string).collect();
        report.fine(&format!("site {}: {} ({})", site.id, origins.join(", "), site.time_zone.name()));
    }
    if let Some(more) = config.sites.len().checked_sub(SITES_SHOWN_MAX).filter(|more| *more > 0) {
        report.fine(&format!("and {more} more sites"));
    }
    origins(config, report, Origin::is_unencrypted, &|origins| {
        format!("pages of {origins} can be changed on their way, the script in them too; use https")
    });
    origins(config, report, Origin::is_of_strangers, &|origins| {
        format!("anyone can have pages of {origins} and count for the site; name your own hosts")
    });
}

/// Warns of sites with such origins.
fn origins(config: &Config, report: &Report, are_such: fn(&Origin) -> bool, warning: &dyn Fn(&str) -> String) {
    let of_site = |site: &Site| -> Option<String> {
        let such: Vec<_> = site.origins.iter().filter(|origin| are_such(origin)).map(ToString::to_string).collect();
        (!such.is_empty()).then(|| format!("site {}: {}", site.id, warning(&such.join(", "))))
    };
    let mut warnings = config.sites.iter().filter_map(of_site);
    warnings.by_ref().take(WARNINGS_SHOWN_MAX).for_each(|warning| report.warn(&warning));
    match warnings.count() {
        0 => {}
        more => report.warn(&format!("{more} more sites have such pages")),
    }
}

/// Mistakes of templates and parameters that look like noise, as the running node has seen them.
fn page_addresses(config: &Config, report: &Report) -> anyhow::Result<()> {
    let warnings = page_warnings(config)?;
    warnings.iter().take(WARNINGS_SHOWN_MAX).for_each(|warning| report.warn(warning));
    if let Some(more) = warnings.len().checked_sub(WARNINGS_SHOWN_MAX).filter(|more| *more > 0) {
        report.warn(&format!("{more} more such warnings; `GET /warnings` of the admin listener has them"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Environment, Flags};

    /// A configuration with this at the top of the file, for pages of `https://a.vn`.
    fn config(top: &str) -> Config {
        let directory = tempfile::TempDir::new().unwrap();
        let path = directory.path().join("thongke.toml");
        std::fs::write(&path, format!("{top}\n[sites.a]\norigins = [\"https://a.vn\"]\n")).unwrap();
        Config::load(&Flags { config: Some(path), ..Flags::default() }, &Environment::default()).unwrap()
    }

    #[test]
    fn a_proxy_in_front_is_recognised_unless_one_is_trusted() {
        for (top, sign) in [
            ("", Some("only this machine can reach --listen")),
            ("listen = \"[::1]:8080\"", Some("only this machine can reach --listen")),
            ("listen = \"0.0.0.0:8080\"", None),
            ("listen = \"0.0.0.0:8080\"\npath_prefix = \"/tk\"", Some("path_prefix is set")),
            ("path_prefix = \"/tk\"\ntrusted_proxies = [\"127.0.0.1\"]", None),
            // The unix socket has a warning of its own.
            ("listen = \"unix:/run/thongke.sock\"\npath_prefix = \"/tk\"", None),
        ] {
            assert_eq!(sign_of_a_proxy(&config(top)), sign, "{top}");
        }
        let demo = Config::load(&Flags::default(), &Environment::default()).unwrap();
        assert_eq!(sign_of_a_proxy(&demo), None, "pages of this machine need no proxy");
    }

    #[test]
    fn each_version_of_a_cluster_is_named_once() {
        assert_eq!(versions(&[]), "unknown");
        assert_eq!(versions(&["8.0.1".to_owned(), "7.2.4".to_owned(), "8.0.1".to_owned()]), "7.2.4, 8.0.1");
    }
}
