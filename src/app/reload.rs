//! Reading the sites again: at an order, and when the folder of sites has changed.

use std::collections::HashSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::Receiver;

use super::{Running, service_manager};
use crate::config::{Config, Environment, Flags, Listing, SitesDir, SitesWatch, Step};
use crate::counter::Site;
use crate::server::{Order, SiteChanges};

/// Shortest pause between two looks at the folder: two of them and the reading end within two seconds.
const PAUSE: Duration = Duration::from_millis(500);
/// Times that a look's duration is waited for until the next: a folder of many files costs at most 2 % of a core.
const PAUSE_PER_LOOK: u32 = 50;

/// Reads the sites again, one reading at a time.
pub struct Reloader<'r> {
    running: &'r Running,
    flags: Flags,
    folder: Option<WatchedFolder>,
}

struct WatchedFolder {
    path: PathBuf,
    watch: SitesWatch,
    pause: Duration,
    /// The last look found no folder, which has been said.
    is_away: bool,
}

impl<'r> Reloader<'r> {
    /// `folder`: as it was when the node's sites were read.
    pub fn new(running: &'r Running, flags: Flags, folder: Option<SitesDir>) -> Self {
        Self { running, flags, folder: folder.map(WatchedFolder::new) }
    }

    /// Obeys orders and looks at the folder; never returns.
    pub async fn run(mut self, mut orders: Receiver<Order>) {
        loop {
            let pause = self.folder.as_ref().map(|folder| folder.pause);
            let looking = async {
                match pause {
                    Some(pause) => tokio::time::sleep(pause).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                Some(reply) = orders.recv() => {
                    let outcome = self.obey().await;
                    // Nobody may wait for it any more.
                    let _ = reply.map(|reply| reply.send(outcome));
                }
                () = looking => self.look().await,
            }
        }
    }

    async fn obey(&mut self) -> Result<SiteChanges, String> {
        service_manager::reloading();
        let outcome = self.read(None).await;
        service_manager::ready(&format!("counting on http://{}", self.running.public_address));
        outcome
    }

    async fn look(&mut self) {
        let Some(folder) = &mut self.folder else { return };
        match folder.look().await {
            Step::Nothing => {}
            Step::Read { leaving } => {
                let _ = self.read(Some(&leaving)).await;
            }
            Step::TooManyGone { gone, of } => tracing::warn!(
                "{gone} of {of} files are gone at once from the folder of sites {}, so nothing changes; if this is \
                 meant, send SIGHUP, or `POST /reload` to the admin listener",
                folder.path.display()
            ),
        }
    }

    /// Reads the configuration, in a thread of its own: a slow disk must not keep signals waiting. `leaving`: sites that
    /// leave since their files are gone; none: all of these.
    async fn read(&mut self, leaving: Option<&[String]>) -> Result<SiteChanges, String> {
        let flags = self.flags.clone();
        let loading = tokio::task::spawn_blocking(move || Config::load(&flags, &Environment::of_process()));
        let config = match loading.await {
            Ok(Ok(config)) => Ok(config),
            Ok(Err(error)) => Err(error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        let reloaded = match config {
            Ok(mut config) => {
                let (folder, tokens) = (config.sites_dir.take(), std::mem::take(&mut config.tokens));
                let staying = self.staying(folder.as_ref(), leaving);
                let (sites, staying) = self.with_staying(config.sites, &staying);
                let reloaded = self.running.replace_sites(sites).await.map_err(|error| format!("{error:#}"));
                if reloaded.is_ok() {
                    self.running.node.replace_configured_tokens(tokens);
                }
                reloaded.map(|changes| (changes, folder, staying))
            }
            Err(error) => Err(error),
        };
        match reloaded {
            Ok((changes, folder, staying)) => {
                self.note_read(folder, &staying);
                tracing::info!("sites reloaded: {changes}; the tokens too, other settings need a restart");
                Ok(changes)
            }
            Err(reason) => {
                if let Some(folder) = &mut self.folder {
                    folder.watch.note_refused();
                }
                tracing::error!("reload failed, the configuration stays as it was: {reason}");
                Err(reason)
            }
        }
    }

    fn staying(&self, folder: Option<&SitesDir>, leaving: Option<&[String]>) -> Vec<String> {
        match (&self.folder, folder, leaving) {
            (Some(watched), Some(folder), Some(leaving)) if watched.path == folder.path => {
                watched.watch.staying(&folder.listing, leaving)
            }
            _ => Vec::new(),
        }
    }

    /// The sites, and those of files that are gone for a moment, unless another site has taken their id. Those that
    /// stay are named.
    fn with_staying(&self, mut sites: Vec<Site>, staying: &[String]) -> (Vec<Site>, Vec<String>) {
        if staying.is_empty() {
            return (sites, Vec::new());
        }
        let current = self.running.node.current_sites();
        let names = |site: &Site| std::iter::once(&site.id).chain(&site.aliases).cloned().collect::<Vec<_>>();
        let known: HashSet<_> = sites.iter().flat_map(names).collect();
        let is_taken = |site: &Site| names(site).iter().any(|name| known.contains(name));
        let mut stay = Vec::new();
        for id in staying {
            if let Some(site) = current.get(id).filter(|site| !is_taken(&site.site)) {
                sites.push(site.site.clone());
                stay.push(id.clone());
            }
        }
        (sites, stay)
    }

    fn note_read(&mut self, folder: Option<SitesDir>, staying: &[String]) {
        match (&mut self.folder, folder) {
            (Some(watched), Some(folder)) if watched.path == folder.path => {
                watched.watch.note_read(folder.listing, staying);
            }
            (watched, folder) => *watched = folder.map(WatchedFolder::new),
        }
    }
}

impl WatchedFolder {
    fn new(SitesDir { path, listing }: SitesDir) -> Self {
        Self { path, watch: SitesWatch::new(listing), pause: PAUSE, is_away: false }
    }

    async fn look(&mut self) -> Step {
        let path = self.path.clone();
        let looking = tokio::task::spawn_blocking(move || {
            let start = Instant::now();
            (Listing::of(&path), start.elapsed())
        });
        let Ok((found, duration)) = looking.await else { return Step::Nothing };
        self.pause = PAUSE.max(duration * PAUSE_PER_LOOK);
        match found {
            Ok(found) => {
                self.is_away = false;
                self.watch.look(found, Instant::now())
            }
            Err(error) => {
                if !std::mem::replace(&mut self.is_away, true) {
                    tracing::warn!("can't read the folder of sites {}: {error}; its sites stay", self.path.display());
                }
                Step::Nothing
            }
        }
    }
}
