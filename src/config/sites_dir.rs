//! The folder of sites: one file a site, named by the site's id.

use std::collections::{BTreeMap, HashSet};
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::Deserialize as _;
use toml::Spanned;

use super::problem::{Faults, Places, Problems};
use super::site::{self, RawSite, ReadSite};
use super::{Config, aliases, document, file};
use crate::counter::SiteId;
use crate::obstacle;

/// Largest file of a site.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Ending of the files that are read. Others are an editor's or a tool's.
const ENDING: &str = ".toml";

/// The folder, and its files before they were read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SitesDir {
    pub path: PathBuf,
    pub listing: Listing,
}

/// Files of the folder by the ids that they are named after, each with what changes when it is written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing(pub(super) BTreeMap<String, Stamp>);

/// State of a file as its file system tells it. A file that can't be asked about has zeros.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stamp {
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Listing {
    /// The files of a folder. Links are followed: a mounted configuration consists of them.
    pub fn of(folder: &Path) -> io::Result<Self> {
        let mut files = BTreeMap::new();
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let Some(id) = name.to_str().and_then(|name| name.strip_suffix(ENDING)) else { continue };
            if !id.starts_with('.') {
                files.insert(id.to_owned(), Stamp::of(&entry.path()));
            }
        }
        Ok(Self(files))
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Stamp {
    fn of(path: &Path) -> Self {
        let Ok(metadata) = std::fs::metadata(path) else { return Self::default() };
        Self {
            inode: metadata.ino(),
            bytes: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

impl SitesDir {
    /// Lists the folder; none if it can't be read, which is noted.
    pub fn open(path: PathBuf, problems: &mut Problems) -> Option<Self> {
        let listing = Listing::of(&path).map_err(|error| {
            let advice = match error.kind() {
                io::ErrorKind::NotFound => "; make it: it may be empty".to_owned(),
                _ => obstacle::advice(&path, &error),
            };
            problems.add(format!("can't read the folder of sites {}: {error}{advice}", path.display()));
        });
        Some(Self { listing: listing.ok()?, path })
    }

    /// The file of a site.
    pub fn file_of(&self, id: &str) -> PathBuf {
        self.path.join(format!("{id}{ENDING}"))
    }

    /// Reads the sites, beside those of the one file, and notes all faults.
    pub fn sites_into(&self, config: &mut Config, problems: &mut Problems) {
        let of_file: HashSet<_> = config.sites.iter().map(|site| site.id.to_string()).collect();
        for id in self.listing.0.keys() {
            let path = self.file_of(id);
            if of_file.contains(id) {
                let reason = "has a table in the configuration too; leave one of them out";
                problems.add(format!("{}: site `{id}` {reason}", path.display()));
            } else if let Some(text) = document::text(&path, FILE_BYTES_MAX, problems) {
                config.take_sites(Vec::from_iter(site_of(id, &path, &text, problems)), &Places::of(&path, &text));
            }
        }
    }
}

impl SitesDir {
    /// The text of a site's file; none without such a file.
    pub fn text(&self, id: &SiteId) -> anyhow::Result<Option<String>> {
        let path = self.file_of(id.as_str());
        match std::fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("can't read {}", path.display())),
        }
    }

    /// Writes a site's file, whole or not at all, if its text is right beside the configuration's other sites.
    pub fn write(&self, id: &SiteId, text: &str, config: &Config) -> anyhow::Result<()> {
        self.write_in_place_of(id, id, text, config)
    }

    /// The same under another id; the file of the former one goes.
    pub fn rename(&self, id: &SiteId, to: &SiteId, text: &str, config: &Config) -> anyhow::Result<()> {
        self.write_in_place_of(id, to, text, config)?;
        let path = self.file_of(id.as_str());
        std::fs::remove_file(&path).with_context(|| format!("can't remove {}; remove it", path.display()))
    }

    fn write_in_place_of(&self, before: &SiteId, id: &SiteId, text: &str, config: &Config) -> anyhow::Result<()> {
        let path = self.file_of(id.as_str());
        let mut problems = Problems::default();
        let read = site_of(id.as_str(), &path, text, &mut problems);
        problems.into_result()?;
        let mut problems = Problems::default();
        let mut after = Config { sites: Vec::new(), site_places: Vec::new(), ..config.clone() };
        let others = config.sites.iter().zip(&config.site_places).filter(|(site, _)| site.id != *before);
        (after.sites, after.site_places) = others.map(|(site, place)| (site.clone(), place.clone())).unzip();
        after.aliases.retain(|alias| alias.of != *before);
        after.take_sites(Vec::from_iter(read), &Places::of(&path, text));
        aliases::check(&after.sites, &after.site_places, &after.aliases, &mut problems);
        problems.into_result()?;
        let written = self.replace(&path, text);
        written.map_err(|error| {
            let advice = obstacle::advice(&path, &error);
            anyhow::anyhow!("can't write {}: {error}{advice}", path.display())
        })
    }

    /// Under a name that is not read, until it is whole.
    fn replace(&self, path: &Path, text: &str) -> io::Result<()> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let unfinished = self.path.join(format!(".{name}.new"));
        let mut file = std::fs::File::create(&unfinished)?;
        let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
        let written = written.and_then(|()| match std::fs::metadata(path) {
            Ok(old) => std::fs::set_permissions(&unfinished, old.permissions()),
            Err(_) => Ok(()),
        });
        let placed = written.and_then(|()| std::fs::rename(&unfinished, path));
        if placed.is_err() {
            let _ = std::fs::remove_file(&unfinished);
        }
        placed
    }
}

/// The site of a file's text; none if it is wrong, which is noted.
fn site_of(id: &str, path: &Path, text: &str, problems: &mut Problems) -> Option<ReadSite> {
    if let Err(error) = id.parse::<SiteId>() {
        problems.add(format!("{}: {error}; the file's name is the site's id", path.display()));
        return None;
    }
    let table = document::table(path, text, problems)?;
    let [(_, of_file), ..] = file::keys();
    let of_others = |key: &str| match key {
        "sites" => Some("a file of `sites_dir` holds the keys of one site, without `[sites.…]` above them"),
        key if of_file.contains(&key) => Some("it is not a site's: it belongs in the configuration's one file"),
        _ => None,
    };
    let mut faults = Faults::default();
    site::unknown_keys(id, table.get_ref(), &of_others, &mut faults);
    let mut found = Faults::default();
    let site = match RawSite::deserialize(toml::de::Deserializer::from(table)) {
        Ok(raw) => raw.check(&Spanned::new(0..0, id.to_owned()), &mut found),
        // Not reached: a field that can't be read holds the reason.
        Err(error) => {
            found.wrong(&error.span().unwrap_or_default(), error.message());
            None
        }
    };
    faults.append(found);
    let is_right = faults.is_empty();
    faults.into_problems(path, text, problems);
    site.filter(|_| is_right)
}
