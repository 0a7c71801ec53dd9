//! `thongke sites`: the sites of the configuration, and changes in the folder of sites.

use anyhow::{Context as _, bail};

use hyper::Method;

use super::{IfEmpty, NodeRequest, configured, from_json, on_its_ledger, print};
use crate::config::{Assignment, Config, SitesDir, edited};
use crate::counter::{Origin, Site, SiteId};
use crate::ledger::{DirectoryLock, has_been_used};
use crate::obstacle;
use crate::server::ListedSite;
use crate::server::routes::Admin;

/// Lists the sites, by id, and those that are removed and have counts.
pub fn list(config: &Config) -> anyhow::Result<()> {
    let mut lines: Vec<_> = config.sites.iter().map(|site| (site.id.to_string(), about(site))).collect();
    let (removed, unknown) = match removed(config) {
        Ok(removed) => (removed, None),
        Err(error) => (Vec::new(), Some(error)),
    };
    for id in removed {
        let of = id.parse().ok().and_then(|id| config.site(&id));
        let stays = match of {
            Some(site) if site.id.as_str() == id => "(has counts from before it had `counted_as`)".to_owned(),
            Some(site) => format!("(an alias of {}; has counts of its own)", site.id),
            None => "(removed; has counts)".to_owned(),
        };
        lines.push((id, stays));
    }
    lines.sort();
    let width = lines.iter().map(|(id, _)| id.len()).max().unwrap_or_default();
    for (id, about) in lines {
        print(&format!("{id:width$}  {about}"))?;
    }
    if let Some(error) = unknown {
        eprintln!("thongke: sites that are removed and have counts are not known: {error:#}");
    }
    Ok(())
}

/// Ids of sites that are not configured and have counts.
fn removed(config: &Config) -> anyhow::Result<Vec<String>> {
    if DirectoryLock::holder(&config.data_dir).is_none() && !has_been_used(&config.data_dir) {
        return Ok(Vec::new());
    }
    let request = NodeRequest::of_node(Method::GET, Admin::Sites);
    let read = |answer: &[u8]| {
        let sites: Vec<ListedSite> = from_json(answer)?;
        Ok(sites.into_iter().filter(|site| site.removed).map(|site| site.site).collect())
    };
    // Imported ones count too.
    on_its_ledger(config, IfEmpty::Begin, request, read, async |ledger, sites| {
        Ok(ledger.removed_sites(sites).await?.iter().map(SiteId::to_string).collect())
    })
}

/// Origins and paths of a site, and its other ids.
fn about(site: &Site) -> String {
    let mut about = origins(site);
    if let Some(paths) = &site.paths {
        about += &format!(" {}", paths.iter().collect::<Vec<_>>().join(" "));
    }
    if !site.aliases.is_empty() {
        let aliases: Vec<_> = site.aliases.iter().map(SiteId::as_str).collect();
        about += &format!(" (also {})", aliases.join(", "));
    }
    about
}

/// Shows a site's settings as they were written, and the tag for its pages.
pub fn show(config: &Config, id: &SiteId) -> anyhow::Result<()> {
    let site = configured(config, id)?;
    let id = &site.id;
    let text = config.sites_dir.as_ref().map(|folder| folder.text(id)).transpose()?.flatten();
    match (&config.sites_dir, text) {
        (Some(folder), Some(text)) => {
            print(&format!("# {}\n{}", folder.file_of(id.as_str()).display(), text.trim_end()))?
        }
        _ => print(&format!("# of the configuration's one file\n# origins: {}", origins(site)))?,
    }
    print(&format!("\n{}", tag(id)))
}

/// Adds a site to the folder.
pub fn add(config: &Config, id: &SiteId, of_pages: &[String], name: Option<&str>) -> anyhow::Result<()> {
    let folder = folder(config)?;
    match config.site(id) {
        Some(site) if site.id == *id => {
            bail!("there is a site `{id}`; `thongke sites set {id} KEY=VALUE` changes it")
        }
        Some(site) => {
            bail!("`{id}` is an alias of site `{0}`; `thongke sites set {0} aliases-={id}` ends that", site.id)
        }
        None => {}
    }
    let mut assignments = vec![assignment("name=", name.unwrap_or_default())?];
    for origin in of_pages {
        assignments.push(assignment("origins+=", origin)?);
    }
    let text = edited("", &assignments).map_err(anyhow::Error::msg)?;
    folder.write(id, &text, config)?;
    print(&format!("site `{id}` added; {}\nput this tag on its pages:\n\n{}", effect(config), tag(id)))
}

/// Changes settings of a site in the folder.
pub fn set(config: &Config, id: &SiteId, assignments: &[Assignment]) -> anyhow::Result<()> {
    let folder = folder(config)?;
    let text = text(config, folder, id)?;
    let path = folder.file_of(id.as_str());
    let changed = edited(&text, assignments)
        .map_err(|reason| anyhow::anyhow!("{}: {reason}; nothing was changed", path.display()))?;
    if changed == text {
        return print(&format!("site `{id}`: nothing differs"));
    }
    folder.write(id, &changed, config).context("nothing was changed")?;
    print(&format!("site `{id}` changed; {}", effect(config)))
}

/// Removes a site's file, whose text it prints.
pub fn remove(config: &Config, id: &SiteId) -> anyhow::Result<()> {
    let folder = folder(config)?;
    let text = text(config, folder, id)?;
    let path = folder.file_of(id.as_str());
    std::fs::remove_file(&path).map_err(|error| {
        let advice = obstacle::advice(&path, &error);
        anyhow::anyhow!("can't remove {}: {error}{advice}", path.display())
    })?;
    let only = if folder.listing.len() == 1 { "; it was the only one, so send SIGHUP or `POST /reload`" } else { "" };
    print(&format!(
        "# site `{id}` removed; its counts stay, and go on when it is added again{only}\n# its file was:\n{}",
        text.trim_end()
    ))
}

/// Gives a site of the folder another id, under which its counts go on; the former id stays its alias.
pub fn rename(config: &Config, id: &SiteId, to: &SiteId) -> anyhow::Result<()> {
    let folder = folder(config)?;
    let before = text(config, folder, id)?;
    let site = configured(config, id)?;
    if let Some(other) = config.site(to).filter(|other| other.id != site.id || to == id) {
        bail!("`{to}` is an id of site `{}`; nothing was changed", other.id);
    }
    if removed(config)?.iter().any(|removed| removed == to.as_str()) {
        bail!(
            "`{to}` is the id of a removed site, or of an alias, that has counts; choose another id, and nothing was changed"
        );
    }
    let is_back = site.counted_as == *to;
    let mut assignments = vec![assignment("counted_as=", if is_back { "" } else { site.counted_as.as_str() })?];
    if site.counted_as != site.id {
        assignments.push(assignment("aliases+=", site.id.as_str())?);
    }
    // A former id that comes back is no alias any more. The one that counts are kept under need not be in the list.
    let no_alias = [assignment("aliases-=", to.as_str())?];
    let before = if site.is_named(to) { edited(&before, &no_alias).unwrap_or(before) } else { before };
    let after = edited(&before, &assignments).map_err(anyhow::Error::msg)?;
    folder.rename(id, to, &after, config).context("nothing was changed")?;
    print(&format!(
        "site `{id}` is `{to}` now, with all its counts, and tags with `{id}` go on counting; {}",
        effect(config)
    ))
}

/// Says that the sites can be used: a wrong configuration ends every command.
pub fn check(config: &Config) -> anyhow::Result<()> {
    print(&format!("{} sites can be used", config.sites.len()))
}

fn origins(site: &Site) -> String {
    site.origins.iter().map(Origin::to_string).collect::<Vec<_>>().join(" ")
}

fn tag(id: &SiteId) -> String {
    format!(r#"<script async crossorigin src="https://HOST/thongke.js" data-site="{id}"></script>"#)
}

/// A name or an origin is text, whatever it looks like.
fn assignment(key: &str, text: &str) -> anyhow::Result<Assignment> {
    let value = if text.is_empty() { String::new() } else { format!("{}", toml_edit::Value::from(text)) };
    format!("{key}{value}").parse().map_err(anyhow::Error::msg)
}

fn folder(config: &Config) -> anyhow::Result<&SitesDir> {
    config.sites_dir.as_ref().context(
        "there is no folder of sites; name one in the configuration, `sites_dir = \"sites.d\"`, or by --sites-dir",
    )
}

fn text(config: &Config, folder: &SitesDir, id: &SiteId) -> anyhow::Result<String> {
    if let Some(text) = folder.text(id)? {
        return Ok(text);
    }
    let site = configured(config, id)?;
    if site.id != *id {
        bail!("`{id}` is an alias of site `{0}`; name that: `{0}`", site.id);
    }
    bail!("site `{id}` stands in the configuration's one file, where no command changes it; edit that file")
}

fn effect(config: &Config) -> &'static str {
    match DirectoryLock::holder(&config.data_dir) {
        Some(_) => "the running node takes it within 2 seconds",
        None => "a node that runs on this machine's folder takes it within 2 seconds, another at its start",
    }
}
