//! Lists of the most read pages: whatever length a question asks for, it is the start of a list that all questions share.

use std::hash::{Hash, Hasher};
use std::ptr;
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::counter::page::TOP_MAX;
use crate::counter::{EditorRules, Listing, Period, RegisteredSite, SiteNumber};
use crate::server::http::SingleFlight;
use crate::server::ports::{Available, Node, Read, TopPage};

/// Lists kept, some 15 kB each.
const LISTS_MAX: usize = 256;

/// Searches of a worker at once. Each reads many long lists; more would leave no room for other reads.
const SEARCHES_MAX: usize = 2;

/// One worker's lists, each of the greatest length.
pub struct ListedPages {
    lists: SingleFlight<Key, List>,
    searches: Semaphore,
}

type Key = (SiteNumber, Period, Rules);
type List = Available<Rc<Read<TopPage>>>;

/// The editors' rules by which a list was made: these very ones.
#[derive(Clone)]
struct Rules(Option<Arc<EditorRules>>);

impl Rules {
    fn address(&self) -> *const EditorRules {
        self.0.as_ref().map_or(ptr::null(), Arc::as_ptr)
    }
}

impl PartialEq for Rules {
    fn eq(&self, other: &Self) -> bool {
        self.address() == other.address()
    }
}

impl Eq for Rules {}

impl Hash for Rules {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.address().hash(state);
    }
}

impl Default for ListedPages {
    fn default() -> Self {
        Self { lists: SingleFlight::new(LISTS_MAX), searches: Semaphore::new(SEARCHES_MAX) }
    }
}

impl ListedPages {
    /// A turn to search, which ends when it is dropped.
    pub async fn search_turn(&self) -> Option<SemaphorePermit<'_>> {
        self.searches.acquire().await.ok()
    }

    /// The most read pages of a period.
    pub async fn list<N: Node>(&self, node: &Arc<N>, site: &Arc<RegisteredSite>, period: Period) -> List {
        let read = || {
            let (node, site) = (Arc::clone(node), Arc::clone(site));
            async move { Ok(Rc::new(node.top_pages(&site, period, TOP_MAX, Listing::Public).await?)) }
        };
        self.lists.get((site.number, period, Rules(site.editor_rules.clone())), read).await
    }
}
