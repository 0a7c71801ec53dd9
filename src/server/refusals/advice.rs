//! Advice about refused hits: what an operator can do, in words that fit the way the sites are written down.
//!
//! Lines are copied into shells, so a command holds nothing but a known site's id, a plain origin, and paths of the
//! operator's own.

use std::path::{Path, PathBuf};

use unicode_normalization::UnicodeNormalization as _;
use url::Url;

use super::memory::Seen;
use super::seen::{ADDRESS, OPAQUE, ORIGIN_HEADER, OTHER, PREFIX};
use crate::counter::{Near, PageAddress, Site, SiteId, Sites};
use crate::server::routes::{Public, public_path};

/// Sites among which a misspelt id is looked for by its letters, and an origin by its site. Among more, only case may
/// differ.
const COMPARED_MAX: usize = 1_000;
/// Letters that may be wrong in an id, which is at most a quarter of them.
const WRONG_MAX: usize = 3;

/// The place where sites are written down.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SitesSource {
    /// The configuration's one file.
    pub file: Option<PathBuf>,
    /// The folder of sites.
    pub folder: Option<PathBuf>,
    pub path_prefix: String,
}

impl SitesSource {
    /// The change that adds an item to a list of a site, its `origins` or `paths`.
    fn add(&self, id: &SiteId, key: &str, item: &str) -> String {
        match &self.folder {
            Some(folder) if folder.join(format!("{id}.toml")).exists() => {
                format!("`thongke sites set {id} {key}+={item}{}`", self.flags())
            }
            _ => match &self.file {
                Some(file) => format!(
                    "add `\"{item}\"` to `{key}` of `[sites.{id}]` in {}, and let the node read it: `systemctl reload thongke`",
                    shown(file)
                ),
                None => "write a configuration with this site; without one there is only the demo, for pages of this machine".to_owned(),
            },
        }
    }

    /// The change that adds a site.
    fn add_site(&self, id: &SiteId, origin: Option<&str>) -> String {
        match (&self.folder, &self.file) {
            (Some(_), _) => {
                let origin = origin.unwrap_or("https://HOST");
                format!("`thongke sites add {id} --origin {origin}{}`", self.flags())
            }
            (None, Some(file)) => format!("add it as `[sites.{id}]` to {}", shown(file)),
            (None, None) => "write a configuration; without one there is only the demo".to_owned(),
        }
    }

    /// Flags by which a command finds the same sites.
    fn flags(&self) -> String {
        match (&self.file, &self.folder) {
            (Some(file), _) => format!(" --config {}", quoted(file)),
            (None, Some(folder)) => format!(" --sites-dir {}", quoted(folder)),
            (None, None) => String::new(),
        }
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string().escape_debug().to_string()
}

/// A path as one word of a shell.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+:@".contains(c);
    if text.chars().all(is_plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

/// The nearest known id to one that no site has.
pub(super) fn meant<'a>(sites: &'a Sites, id: &str) -> Option<&'a SiteId> {
    // Without case, signs and the marks of Vietnamese letters.
    let plain = |text: &str| -> String {
        let letters = text.nfd().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase);
        letters.map(|c| if c == 'đ' { 'd' } else { c }).collect()
    };
    if let Some(site) = sites.get(&id.trim().to_ascii_lowercase()) {
        return Some(&site.site.id);
    }
    if sites.len() > COMPARED_MAX {
        return None;
    }
    let id = plain(id);
    let distance = |site: &'a SiteId| {
        let known = plain(site.as_str());
        let is_near = id.len().abs_diff(known.len()) <= 2 * WRONG_MAX;
        let distance = is_near.then(|| strsim::damerau_levenshtein(&id, &known))?;
        (distance <= (known.len() / 4).min(WRONG_MAX)).then_some((distance, site))
    };
    sites.iter().filter_map(|site| distance(&site.site.id)).min().map(|(_, site)| site)
}

/// True if an operator can do something about it, and the log doesn't say it elsewhere.
pub(super) fn is_for_the_log(seen: &Seen, sites: &Sites) -> bool {
    match seen.group.reason {
        "unavailable" | "limited" => false,
        "site" if sites.get(&seen.unknown_id).is_some() => false,
        "site" => meant(sites, &seen.unknown_id).is_some() || seen.unknown_id.parse::<SiteId>().is_ok(),
        PREFIX => true,
        _ => seen.group.site.is_some_and(|number| sites.by_number(number).is_some()),
    }
}

/// The reason in words, and what to do.
pub(super) fn of(seen: &Seen, sites: &Sites, source: &SitesSource) -> String {
    let site = seen.group.site.and_then(|number| sites.by_number(number)).map(|site| &site.site);
    let id = site.map_or("?", |site| site.id.as_str());
    match (seen.group.reason, site) {
        ("origin", Some(site)) => of_origin(seen, site, sites, source),
        (ORIGIN_HEADER, Some(site)) => of_header(seen, site, source),
        ("site", _) => of_unknown_site(seen, sites, source),
        (PREFIX, _) => of_prefix(seen, source),
        ("limited", _) => format!(
            "more hits of `{id}` came from one client or network, or in all, than the limits allow; if they are readers, as in \
             an office behind one address, raise `address_rate`, `page_rate` or `site_rate` under `[limits]`"
        ),
        ("unavailable", _) => "the node could not make hits durable; `thongke health` and its log say why".to_owned(),
        ("malformed", _) if seen.field == Some("url") => format!(
            "hits of `{id}` name no page that can be read; a pixel needs the page's address where the page has \
             `Referrer-Policy: no-referrer`: add `&url=` to it"
        ),
        ("malformed", _) => {
            "hits can't be read: another program than the script sends them, or something on their way changes \
                             them; docs/api.md shows one"
                .to_owned()
        }
        (reason, _) => format!("hits of `{id}` were refused: {reason}"),
    }
}

fn of_origin(seen: &Seen, site: &Site, sites: &Sites, source: &SitesSource) -> String {
    let (origin, id) = (seen.origin.as_str(), &site.id);
    if origin == ADDRESS {
        return format!(
            "pages of `{id}` are opened by an IP address, which isn't shown, since it may be a reader's own; if the portal \
             has one, redirect it to the portal's name or add it to `origins`"
        );
    }
    if origin == OTHER {
        return format!(
            "what shows the tag of `{id}` is no page of a web server, such as a saved copy; nothing is to be done"
        );
    }
    if let Some(url) = Url::parse(origin).ok().filter(|url| site.covers(url)) {
        return of_path(seen, &url, site, sites, source);
    }
    if let Some(other) = of_another_site(origin, sites) {
        return format!(
            "a page of `{other}` has the tag of `{id}`; correct the tag on {origin} to `data-site=\"{other}\"`"
        );
    }
    let change = source.add(id, "origins", origin);
    let refused = format!("`{origin}` is not among the origins of `{id}`");
    match near(site, origin) {
        Some(Near::Scheme) if origin.starts_with("http:") => {
            format!("{refused}: redirect it to https, or {change}")
        }
        Some(_) => format!("{refused}: {change}"),
        None => format!(
            "{refused}: if the site's own pages are there, {change}; if not, others show its tag, and nothing is to be done"
        ),
    }
}

/// Advice about a page of the site's origins: outside its `paths`, or refused before they were changed.
fn of_path(seen: &Seen, origin: &Url, site: &Site, sites: &Sites, source: &SitesSource) -> String {
    let (id, path) = (&site.id, seen.path.as_deref().unwrap_or("/"));
    let page_in = |site: &Site| Some(PageAddress::of(&origin.join(path).ok()?, &site.page_rules));
    let holds = |site: &Site| page_in(site).is_none_or(|page| site.holds(&page));
    if holds(site) {
        return format!("`{}` is among the origins of `{id}` by now", seen.origin);
    }
    let others = sites.iter().take(COMPARED_MAX).map(|other| &other.site);
    let own = others.filter(|other| other.covers(origin) && holds(other)).map(|other| &other.id).min();
    let refused = format!("{path} lies under none of the `paths` of `{id}`");
    if let Some(own) = own {
        return format!("{refused}: it is a page of `{own}`; correct its tag to `data-site=\"{own}\"`");
    }
    let first = path.split('/').nth(1).unwrap_or_default();
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    match !first.is_empty() && first.bytes().all(is_plain) {
        true => format!("{refused}: if it is the site's own, {}", source.add(id, "paths", &format!("/{first}"))),
        false => format!("{refused}: if it is the site's own, add its path to `paths`"),
    }
}

/// The site to which an origin belongs.
fn of_another_site<'a>(origin: &str, sites: &'a Sites) -> Option<&'a SiteId> {
    let url = Url::parse(origin).ok().filter(|_| sites.len() <= COMPARED_MAX)?;
    sites.iter().filter(|site| site.site.covers(&url)).map(|site| &site.site.id).min()
}

/// The nearest difference of an origin from the site's own.
fn near(site: &Site, origin: &str) -> Option<Near> {
    let url = Url::parse(origin).ok()?;
    site.origins.iter().filter_map(|own| own.near(&url)).min()
}

fn of_header(seen: &Seen, site: &Site, source: &SitesSource) -> String {
    let (origin, id) = (seen.origin.as_str(), &site.id);
    match origin {
        OPAQUE => format!(
            "a page of `{id}` is in a frame without an origin of its own, such as `<iframe sandbox>`; allow it `allow-same-origin`, \
             or put the tag on the page around it"
        ),
        ADDRESS | OTHER => format!(
            "the page is of `{id}`, but the browser says that it comes from elsewhere; look at what copies its pages"
        ),
        _ => format!(
            "a page that says it is of `{id}` comes from `{origin}`, such as a copy or an archive; if that is the portal's own, {}",
            source.add(id, "origins", origin)
        ),
    }
}

fn of_unknown_site(seen: &Seen, sites: &Sites, source: &SitesSource) -> String {
    let (sent, origin) = (seen.unknown_id.as_str(), seen.origin.as_str());
    let on = if origin.starts_with("http") { format!(" on {origin}") } else { String::new() };
    if sites.get(sent).is_some() {
        return format!("there is a site `{sent}` by now");
    }
    if let Some(meant) = meant(sites, sent) {
        return format!("there is no site `{sent}`; correct the tag{on} to `data-site=\"{meant}\"`");
    }
    match sent.parse::<SiteId>() {
        Ok(id) => {
            let origin = origin.starts_with("http").then_some(origin);
            format!("there is no site `{id}`; correct `data-site` of the tag{on}, or {}", source.add_site(&id, origin))
        }
        Err(_) => format!("`{sent}` is no site's id: 1 to 63 of a-z, 0-9 and `-`; correct `data-site` of the tag{on}"),
    }
}

fn of_prefix(seen: &Seen, source: &SitesSource) -> String {
    let (own, hit) = (&source.path_prefix, public_path(Public::Hit));
    let came = seen.path.as_deref().unwrap_or(hit);
    let prefix = came.strip_suffix(hit).unwrap_or_default();
    let is_plain = prefix.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'-' | b'_' | b'.'));
    let set = if is_plain { format!(", or set `path_prefix = \"{prefix}\"`") } else { String::new() };
    format!("hits come to `{came}`, and this node takes them at `{own}{hit}`; let the proxy pass them there{set}")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use smol_str::SmolStr;

    use super::super::memory::Group;
    use super::*;
    use crate::counter::{RegisteredSite, SiteNumber, SitePaths};
    use crate::page::PageCase;

    fn sites() -> Sites {
        let site = |number, id: &str, origin: &str| {
            let site = Site::with_defaults(id.parse().unwrap(), vec![origin.parse().unwrap()]);
            RegisteredSite::new(SiteNumber(number), site)
        };
        [site(1, "x", "https://x.gov.vn"), site(2, "vi-xuyen", "https://vixuyen.gov.vn")].into_iter().collect()
    }

    fn seen(reason: &'static str, origin: &str) -> Seen {
        let group = Group { site: Some(SiteNumber(1)), reason };
        Seen { group, unknown_id: SmolStr::default(), origin: origin.into(), field: None, path: Some("/a".into()) }
    }

    fn unknown(id: &str) -> Seen {
        let group = Group { site: None, reason: "site" };
        Seen { group, unknown_id: id.into(), ..seen("site", "https://xa-lan.gov.vn") }
    }

    #[test]
    fn a_missing_origin_is_added_by_the_command_where_there_is_a_folder_and_by_hand_otherwise() {
        let folder = tempfile::TempDir::new().unwrap();
        let of_folder = SitesSource { folder: Some(folder.path().to_owned()), ..SitesSource::default() };
        let of_file = SitesSource { file: Some("/etc/thongke/thongke.toml".into()), ..of_folder.clone() };
        let www = seen("origin", "https://www.x.gov.vn");
        let said = of(&www, &sites(), &of_file);
        assert_eq!(
            said,
            "`https://www.x.gov.vn` is not among the origins of `x`: add `\"https://www.x.gov.vn\"` to `origins` of `[sites.x]` \
             in /etc/thongke/thongke.toml, and let the node read it: `systemctl reload thongke`"
        );
        std::fs::write(folder.path().join("x.toml"), "").unwrap();
        assert_eq!(
            of(&www, &sites(), &of_file),
            "`https://www.x.gov.vn` is not among the origins of `x`: \
             `thongke sites set x origins+=https://www.x.gov.vn --config /etc/thongke/thongke.toml`"
        );
        let said = of(&www, &sites(), &of_folder);
        assert!(said.contains(&format!(" --sites-dir {}`", folder.path().display())), "{said}");
        let quoted = SitesSource { file: Some("/a b/it's.toml".into()), ..of_folder };
        assert!(of(&www, &sites(), &quoted).ends_with(r" --config '/a b/it'\''s.toml'`"));
        assert!(of(&www, &sites(), &SitesSource::default()).contains("only the demo"));
    }

    #[test]
    fn a_foreign_page_is_not_recommended() {
        let file = SitesSource { file: Some("/c.toml".into()), ..SitesSource::default() };
        let said = |origin: &str| of(&seen("origin", origin), &sites(), &file);
        assert!(
            said("https://vixuyen.gov.vn").ends_with("the tag on https://vixuyen.gov.vn to `data-site=\"vi-xuyen\"`")
        );
        assert!(said("https://evil.example").contains("nothing is to be done"));
        assert!(said("https://x.gov.vn").contains("is among the origins of `x` by now"));
        assert!(said("http://x.gov.vn").contains(": redirect it to https, or add `\"http://x.gov.vn\"`"));
        assert!(said(ADDRESS).contains("by an IP address"));
        let header = |origin: &str| of(&seen(ORIGIN_HEADER, origin), &sites(), &file);
        assert!(header(OPAQUE).contains("allow-same-origin"));
        assert!(header("https://copy.example").contains("comes from `https://copy.example`"));
    }

    #[test]
    fn a_page_outside_the_paths_belongs_to_another_site_or_gets_its_path() {
        let site = |number, id: &str, path: &str| {
            let origins = vec!["https://xa.gov.vn".parse().unwrap()];
            let paths = SitePaths::of(&[path.parse().unwrap()], PageCase::Auto).map(Arc::new);
            RegisteredSite::new(SiteNumber(number), Site { paths, ..Site::with_defaults(id.parse().unwrap(), origins) })
        };
        let sites: Sites = [site(1, "xa-a", "/xa-a"), site(2, "xa-b", "/xa-b")].into_iter().collect();
        let source = SitesSource { file: Some("/c.toml".into()), ..SitesSource::default() };
        let said =
            |path: &str| of(&Seen { path: Some(path.into()), ..seen("origin", "https://xa.gov.vn") }, &sites, &source);
        assert!(
            said("/xa-b/tin").ends_with("it is a page of `xa-b`; correct its tag to `data-site=\"xa-b\"`"),
            "{}",
            said("/xa-b/tin")
        );
        assert!(
            said("/xa-c/tin").contains("add `\"/xa-c\"` to `paths` of `[sites.xa-a]` in /c.toml"),
            "{}",
            said("/xa-c/tin")
        );
        assert!(said("/$(x)/tin").ends_with("add its path to `paths`"));
        assert!(said("/xa-a/tin").ends_with("by now"));
    }

    #[test]
    fn a_misspelt_id_is_corrected_and_a_new_one_can_be_added() {
        let source = SitesSource { folder: Some("/s".into()), ..SitesSource::default() };
        for (sent, meant) in [("X", "x"), ("vixuyen", "vi-xuyen"), ("Vị_Xuyên", "vi-xuyen"), ("vi-xuyem", "vi-xuyen")]
        {
            let said = of(&unknown(sent), &sites(), &source);
            assert!(said.ends_with(&format!("the tag on https://xa-lan.gov.vn to `data-site=\"{meant}\"`")), "{said}");
        }
        let said = of(&unknown("xa-lan"), &sites(), &source);
        assert!(said.ends_with("`thongke sites add xa-lan --origin https://xa-lan.gov.vn --sites-dir /s`"), "{said}");
        for odd in ["$(reboot)", "Xã Lan", ""] {
            let said = of(&unknown(odd), &sites(), &source);
            assert!(said.contains("is no site's id") && !said.contains("sites add"), "{said}");
            assert!(!is_for_the_log(&unknown(odd), &sites()));
        }
    }

    #[test]
    fn hits_beside_the_prefix_name_it() {
        let source = SitesSource { path_prefix: "/tk".to_owned(), ..SitesSource::default() };
        let said = |path: &str| of(&Seen { path: Some(path.into()), ..seen(PREFIX, OTHER) }, &sites(), &source);
        assert_eq!(
            said("/dem/v1/hit"),
            "hits come to `/dem/v1/hit`, and this node takes them at `/tk/v1/hit`; let the proxy pass them there, or set \
             `path_prefix = \"/dem\"`"
        );
        assert!(!said("/$(x)/v1/hit").contains("set `path_prefix"));
    }
}
