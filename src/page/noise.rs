//! The table of noise and of what names an article, read once.

use std::sync::LazyLock;

use rustc_hash::{FxHashMap, FxHashSet};

use super::pattern::Pattern;
use super::shape::Shape;

/// Written by hand; its head says how.
pub(super) const TABLE: &str = include_str!("noise.tsv");
/// Names out of kept lists, written by `tests/refresh-noise`: always noise.
pub(super) const LISTED: &str = include_str!("noise-listed.tsv");

/// The rule as data.
pub(super) struct Noise {
    /// Class a, first match first.
    pub(super) engines: Index,
    /// Classes b and c.
    pub(super) noise: Index,
    /// Class d.
    pub(super) personal: Vec<Shape>,
    /// Class e.
    pub(super) never_personal: FxHashSet<Box<str>>,
    pub(super) path: PathNoise,
}

/// Parts of a path that name no page.
#[derive(Default)]
pub(super) struct PathNoise {
    /// `;jsessionid=…`, with the `=`.
    pub(super) parameters: Vec<Box<str>>,
    /// `/amp`.
    pub(super) last: Vec<Box<str>>,
    /// `/comment-page-2`, without the number.
    pub(super) last_numbered: Vec<Box<str>>,
    /// `/index.php/`.
    pub(super) middle: Vec<Box<str>>,
    /// `index`, `default`.
    pub(super) folders: Vec<Box<str>>,
    /// `html`.
    pub(super) endings: FxHashSet<Box<str>>,
    /// `.aspx`.
    pub(super) caseless: Vec<Box<str>>,
}

pub(super) struct Row {
    pub(super) pattern: Pattern,
    /// Its name in the address, where that is another.
    pub(super) rename: Option<Box<str>>,
    pub(super) shape: Shape,
    pub(super) companions: Vec<Companion>,
    pub(super) place: Place,
}

pub(super) enum Companion {
    Present(Box<str>),
    /// With a value that fits.
    Valued(Box<str>, Pattern),
    Shaped(Box<str>, Shape),
    Absent(Box<str>),
    /// Stays beside the naming one.
    Kept(Box<str>),
}

pub(super) enum Place {
    Anywhere,
    Root,
    NotRoot,
    File(Box<str>),
    /// `*.html`.
    Ending(Box<str>),
    /// `/t/`.
    Under(Box<str>),
}

/// Rows by name: a table for exact names, few prefixes by their first byte.
#[derive(Default)]
pub(super) struct Index {
    pub(super) rows: Vec<Row>,
    exact: FxHashMap<Box<str>, Vec<usize>>,
    by_first_byte: FxHashMap<u8, Vec<usize>>,
    has_first_byte: [u64; 4],
    anywhere: Vec<usize>,
}

/// The compiled-in tables. A test checks that each of their lines is read.
pub(super) static NOISE: LazyLock<Noise> = LazyLock::new(|| Noise::read(TABLE, LISTED, |_| ()));

impl Noise {
    /// Reads both tables. Lines that can't be read go to `wrong`.
    pub(super) fn read(table: &str, listed: &str, mut wrong: impl FnMut(&str)) -> Self {
        let mut noise = Self {
            engines: Index::default(),
            noise: Index::default(),
            personal: Vec::new(),
            never_personal: FxHashSet::default(),
            path: PathNoise::default(),
        };
        for line in lines(table) {
            if noise.add(line).is_none() {
                wrong(line);
            }
        }
        for line in lines(listed) {
            if noise.add_listed(line).is_none() {
                wrong(line);
            }
        }
        noise
    }

    fn add_listed(&mut self, line: &str) -> Option<()> {
        let (name, _list) = line.split_once('\t')?;
        self.noise.add(Row {
            pattern: name.parse().ok()?,
            rename: None,
            shape: Shape::Any,
            companions: Vec::new(),
            place: Place::Anywhere,
        });
        Some(())
    }

    fn add(&mut self, line: &str) -> Option<()> {
        let [class, name, shape, companions, place, _source, _merges, _apart] =
            *line.split('\t').collect::<Vec<_>>().as_array()?;
        if class == "path" {
            return self.path.add(name, shape);
        }
        let (name, rename) = name.split_once(" as ").map_or((name, None), |(name, rename)| (name, Some(rename.into())));
        let row = Row {
            pattern: name.parse().ok()?,
            rename,
            shape: Shape::parse(shape)?,
            companions: companions
                .split(',')
                .filter(|one| !one.is_empty())
                .map(Companion::parse)
                .collect::<Option<_>>()?,
            place: match place {
                "" => Place::Anywhere,
                "root" => Place::Root,
                "not-root" => Place::NotRoot,
                folder if folder.starts_with('/') => Place::Under(folder.into()),
                place => match place.strip_prefix('*') {
                    Some(ending) => Place::Ending(ending.into()),
                    None => Place::File(place.into()),
                },
            },
        };
        match class {
            "a" => self.engines.add(row),
            "b" | "c" => self.noise.add(row),
            "d" => self.personal.push(row.shape),
            "e" => {
                self.never_personal.insert(name.into());
            }
            _ => return None,
        }
        Some(())
    }
}

/// Rows of a table without its comments.
pub(super) fn lines(table: &str) -> impl Iterator<Item = &str> {
    table.lines().filter(|line| !line.is_empty() && !line.starts_with('#'))
}

impl PathNoise {
    fn add(&mut self, name: &str, shape: &str) -> Option<()> {
        match shape {
            "parameter" => self.parameters.push(format!("{name}=").into()),
            "last" => match name.strip_suffix('*') {
                Some(name) => self.last_numbered.push(name.into()),
                None => self.last.push(name.into()),
            },
            "middle" => self.middle.push(name.into()),
            "folder" => self.folders.push(name.into()),
            "ending" => {
                self.endings.insert(name.into());
            }
            "caseless" => self.caseless.push(name.into()),
            _ => return None,
        }
        Some(())
    }
}

impl Companion {
    fn parse(text: &str) -> Option<Self> {
        Some(if let Some(name) = text.strip_prefix('-') {
            Self::Absent(name.into())
        } else if let Some(name) = text.strip_prefix('+') {
            Self::Kept(name.into())
        } else if let Some((name, value)) = text.split_once('=') {
            Self::Valued(name.into(), value.parse().ok()?)
        } else if let Some((name, shape)) = text.split_once(':') {
            Self::Shaped(name.into(), Shape::parse(shape)?)
        } else {
            Self::Present(text.into())
        })
    }
}

impl Index {
    fn add(&mut self, row: Row) {
        let at = self.rows.len();
        match &row.pattern {
            Pattern::Exact(name) => self.exact.entry(name.clone()).or_default().push(at),
            Pattern::Affix(prefix, _) if let Some(first) = prefix.as_bytes().first() => {
                self.by_first_byte.entry(*first).or_default().push(at);
                self.has_first_byte[usize::from(first >> 6)] |= 1 << (first & 63);
            }
            _ => self.anywhere.push(at),
        }
        self.rows.push(row);
    }

    /// The first row for `name`, in lower case, that `fits`, and its place.
    pub(super) fn find(&self, name: &str, mut fits: impl FnMut(&Row) -> bool) -> Option<usize> {
        let mut first = |rows: &[usize], is_pattern: bool| {
            let is_right = |at: &&usize| {
                let row = &self.rows[**at];
                (!is_pattern || row.pattern.matches(name)) && fits(row)
            };
            rows.iter().find(is_right).copied()
        };
        if let Some(at) = self.exact.get(name).and_then(|rows| first(rows, false)) {
            return Some(at);
        }
        let byte = *name.as_bytes().first()?;
        if self.has_first_byte[usize::from(byte >> 6)] >> (byte & 63) & 1 == 1
            && let Some(at) = self.by_first_byte.get(&byte).and_then(|rows| first(rows, true))
        {
            return Some(at);
        }
        first(&self.anywhere, true)
    }
}
