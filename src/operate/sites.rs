//! `thongke sites`: the sites of the configuration, and changes in the folder of sites.

use anyhow::{Context as _, bail};

use super::{configured, print};
use crate::config::{Assignment, Config, SitesDir, edited};
use crate::counter::{Origin, Site, SiteId};
use crate::ledger::DirectoryLock;
use crate::obstacle;

/// Lists the sites, by id.
pub fn list(config: &Config) -> anyhow::Result<()> {
    let mut sites: Vec<_> = config.sites.iter().collect();
    sites.sort_by_key(|site| site.id.as_str());
    let width = sites.iter().map(|site| site.id.as_str().len()).max().unwrap_or_default();
    for site in sites {
        print(&format!("{:width$}  {}", site.id.as_str(), origins(site)))?;
    }
    Ok(())
}

/// Shows a site's settings as they were written, and the tag for its pages.
pub fn show(config: &Config, id: &SiteId) -> anyhow::Result<()> {
    let site = configured(config, id)?;
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
    if config.sites.iter().any(|site| site.id == *id) {
        bail!("there is a site `{id}`; `thongke sites set {id} KEY=VALUE` changes it");
    }
    let mut assignments = vec![assignment("name=", name.unwrap_or_default())?];
    for origin in of_pages {
        assignments.push(assignment("origins+=", origin)?);
    }
    let text = edited("", &assignments).map_err(anyhow::Error::msg)?;
    folder.write(id, &text)?;
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
    folder.write(id, &changed).context("nothing was changed")?;
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
    configured(config, id)?;
    bail!("site `{id}` stands in the configuration's one file, where no command changes it; edit that file")
}

fn effect(config: &Config) -> &'static str {
    match DirectoryLock::holder(&config.data_dir) {
        Some(_) => "the running node takes it within 2 seconds",
        None => "a node that runs on this machine's folder takes it within 2 seconds, another at its start",
    }
}
