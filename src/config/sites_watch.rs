//! Changes of the folder of sites: which of them take effect, and when.
//!
//! A change takes effect once two looks find the same, so that no half-written file is read. A file that is gone takes
//! effect later: editors save by renaming, and a mounted folder may be away for a moment.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::sites_dir::Listing;

/// Time for which a site stays whose file is gone.
const GONE: Duration = Duration::from_secs(5);

/// The folder as it was when its sites were last read, and as it was last seen.
#[derive(Debug)]
pub struct SitesWatch {
    read: Listing,
    seen: Listing,
    /// Sites whose files are gone, each since when.
    gone: BTreeMap<String, Instant>,
    /// The folder that gave no sites, or was warned of.
    given_up: Option<Listing>,
}

/// Consequence of a look.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    Nothing,
    /// The sites are to be read again; of those whose files are gone, only these leave.
    Read {
        leaving: Vec<String>,
    },
    /// More than half of the sites are gone at once: so many, of so many.
    TooManyGone {
        gone: usize,
        of: usize,
    },
}

impl SitesWatch {
    pub fn new(read: Listing) -> Self {
        Self { seen: read.clone(), read, gone: BTreeMap::new(), given_up: None }
    }

    /// Takes what a look at the folder finds at `now`.
    pub fn look(&mut self, found: Listing, now: Instant) -> Step {
        let is_settled = found == self.seen;
        self.seen = found;
        let found = &self.seen;
        self.gone.retain(|id, _| !found.0.contains_key(id));
        for id in self.read.0.keys().filter(|id| !found.0.contains_key(*id)) {
            self.gone.entry(id.clone()).or_insert(now);
        }
        if !is_settled {
            return Step::Nothing;
        }
        let is_due = |since: &Instant| now.duration_since(*since) >= GONE;
        let has_changed = found.0.iter().any(|(id, stamp)| self.read.0.get(id) != Some(stamp));
        let is_one_due = self.gone.values().any(is_due);
        if !has_changed && !is_one_due || self.given_up.as_ref() == Some(found) {
            return Step::Nothing;
        }
        if is_one_due && self.gone.len() * 2 > self.read.len() {
            self.given_up = Some(found.clone());
            return Step::TooManyGone { gone: self.gone.len(), of: self.read.len() };
        }
        let leaving = self.gone.iter().filter(|(_, since)| is_due(since));
        Step::Read { leaving: leaving.map(|(id, _)| id.clone()).collect() }
    }

    /// Sites that stay although they are not in `listing`. A file may be gone since the look.
    pub fn staying(&self, listing: &Listing, leaving: &[String]) -> Vec<String> {
        let stays = |id: &&String| !listing.0.contains_key(*id) && !leaving.contains(id);
        self.read.0.keys().filter(stays).cloned().collect()
    }

    /// The sites of `listing` are in force, and these, whose files are gone.
    pub fn note_read(&mut self, listing: Listing, staying: &[String]) {
        let stays = |id: &String| Some((id.clone(), *self.read.0.get(id)?));
        let kept: Vec<_> = staying.iter().filter_map(stays).collect();
        self.seen = listing.clone();
        self.read = listing;
        self.read.0.extend(kept);
        self.gone.retain(|id, _| staying.contains(id));
        self.given_up = None;
    }

    /// The folder as it is can't be used.
    pub fn note_refused(&mut self) {
        self.given_up = Some(self.seen.clone());
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    /// A folder, and a clock that goes on half a second a look.
    struct Looks {
        folder: TempDir,
        watch: SitesWatch,
        start: Instant,
        looks: u32,
    }

    impl Looks {
        fn at(names: &[&str]) -> Self {
            let folder = TempDir::new().unwrap();
            for name in names {
                std::fs::write(folder.path().join(name), "").unwrap();
            }
            let watch = SitesWatch::new(Listing::of(folder.path()).unwrap());
            Self { folder, watch, start: Instant::now(), looks: 0 }
        }

        fn write(&self, name: &str, text: &str) {
            std::fs::write(self.folder.path().join(name), text).unwrap();
        }

        fn remove(&self, name: &str) {
            std::fs::remove_file(self.folder.path().join(name)).unwrap();
        }

        fn look(&mut self) -> Step {
            self.looks += 1;
            let found = Listing::of(self.folder.path()).unwrap();
            self.watch.look(found, self.start + Duration::from_millis(500) * self.looks)
        }

        /// Looks until there is something to do; returns after how many looks.
        fn next(&mut self) -> (u32, Step) {
            for looks in 1..=20 {
                match self.look() {
                    Step::Nothing => {}
                    step => return (looks, step),
                }
            }
            (20, Step::Nothing)
        }

        fn read(&mut self, staying: &[&str]) {
            let staying: Vec<_> = staying.iter().map(|&id| id.to_owned()).collect();
            self.watch.note_read(Listing::of(self.folder.path()).unwrap(), &staying);
        }
    }

    fn reading(leaving: &[&str]) -> Step {
        Step::Read { leaving: leaving.iter().map(|&id| id.to_owned()).collect() }
    }

    #[test]
    fn a_change_takes_effect_once_the_folder_rests() {
        let mut looks = Looks::at(&["a.toml"]);
        assert_eq!(looks.next(), (20, Step::Nothing));
        looks.write("a.toml", "x");
        assert_eq!(looks.look(), Step::Nothing);
        looks.write("a.toml", "xy");
        assert_eq!(looks.next(), (2, reading(&[])), "half a file isn't read");
        looks.read(&[]);
        looks.write("b.toml", "");
        assert_eq!(looks.next(), (2, reading(&[])));
        looks.read(&[]);
        for other in ["b.toml~", ".b.toml.swp", "#b.toml#", ".hidden.toml", "README", "b.toml.bak"] {
            looks.write(other, "");
        }
        assert_eq!(looks.next(), (20, Step::Nothing), "an editor's files are none");
    }

    #[test]
    fn a_removed_file_takes_effect_after_five_seconds_and_one_that_comes_back_not_at_all() {
        let mut looks = Looks::at(&["a.toml", "b.toml", "c.toml"]);
        looks.remove("b.toml");
        assert_eq!(looks.next(), (11, reading(&["b"])));
        looks.read(&[]);
        // As an editor saves: it moves the file away, and writes another.
        looks.remove("a.toml");
        looks.look();
        looks.write("a.toml", "x");
        assert_eq!(looks.next(), (2, reading(&[])));
        looks.read(&[]);
        assert_eq!(looks.next(), (20, Step::Nothing));
    }

    #[test]
    fn a_site_stays_while_others_change_until_its_own_time_is_over() {
        let mut looks = Looks::at(&["a.toml", "b.toml", "c.toml"]);
        looks.remove("b.toml");
        looks.write("c.toml", "x");
        assert_eq!(looks.next(), (2, reading(&[])));
        // Another one goes while the sites are read.
        looks.remove("a.toml");
        let found = Listing::of(looks.folder.path()).unwrap();
        assert_eq!(looks.watch.staying(&found, &[]), ["a", "b"]);
        looks.write("a.toml", "");
        looks.read(&["b"]);
        assert_eq!(looks.next(), (9, reading(&["b"])));
        let found = Listing::of(looks.folder.path()).unwrap();
        assert_eq!(looks.watch.staying(&found, &["b".to_owned()]), [""; 0]);
    }

    #[test]
    fn more_than_half_of_the_sites_are_not_lost_at_once() {
        let mut looks = Looks::at(&["a.toml", "b.toml", "c.toml"]);
        looks.remove("a.toml");
        looks.remove("b.toml");
        assert_eq!(looks.next(), (11, Step::TooManyGone { gone: 2, of: 3 }));
        assert_eq!(looks.next(), (20, Step::Nothing), "it is said once");
        looks.write("a.toml", "");
        assert_eq!(looks.next(), (2, reading(&["b"])));
    }

    #[test]
    fn a_wrong_file_is_tried_once() {
        let mut looks = Looks::at(&["a.toml", "b.toml"]);
        looks.write("a.toml", "x");
        assert_eq!(looks.next(), (2, reading(&[])));
        looks.watch.note_refused();
        assert_eq!(looks.next(), (20, Step::Nothing));
        looks.write("a.toml", "xy");
        assert_eq!(looks.next(), (2, reading(&[])));
    }

    #[test]
    fn a_mounted_folders_links_are_followed() {
        let mut looks = Looks::at(&[]);
        let path = looks.folder.path().to_owned();
        let version = |name: &str, text: &str| {
            std::fs::create_dir(path.join(name)).unwrap();
            std::fs::write(path.join(name).join("a.toml"), text).unwrap();
        };
        version("..1", "x");
        std::os::unix::fs::symlink("..1", path.join("..data")).unwrap();
        std::os::unix::fs::symlink("..data/a.toml", path.join("a.toml")).unwrap();
        assert_eq!(looks.next(), (2, reading(&[])));
        looks.read(&[]);
        version("..2", "y");
        std::os::unix::fs::symlink("..2", path.join("..new")).unwrap();
        std::fs::rename(path.join("..new"), path.join("..data")).unwrap();
        assert_eq!(looks.next(), (2, reading(&[])), "the link's target is another");
    }
}
