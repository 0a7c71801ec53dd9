//! Editors' pages: what is read, for people who may see a site's figures. HTML made here; scripts are comfort.
//!
//! ```text
//! mount       a listener with the pages beside its own endpoints
//! handler     requests and their pages
//! access      rights of a request
//! login       a token for a session, and the way out
//! shares      share links of a site
//! answer      pages as answers, with what a browser may do with them
//! locale      language of a request; numbers and dates in it
//! words       texts of the pages, in both languages
//! frame       parts and links of every page
//! overview    all sites
//! page_detail one page's views
//! report      a month, quarter or year to be printed or sent
//! tables      the pages' tables as CSV and XLSX
//! live_page   hits as they come; tag_page: the tag to paste; sources_page: imports
//! site_page   a site's figures, by chosen_range, bar_spans, bar_chart, most_read, not_counted
//! ```
//! A page changes no count but by a named action, which is logged with the token's name.

mod access;
mod answer;
mod assets;
mod bar_chart;
mod bar_spans;
mod change;
mod chosen_range;
mod error_page;
mod frame;
mod handler;
mod live_figures;
mod live_page;
mod locale;
mod login;
mod most_read;
mod mount;
mod not_counted;
mod overview;
mod page_detail;
mod reading;
mod report;
mod shares;
mod site_head;
mod site_page;
mod sources_page;
mod sparkline;
mod tables;
mod tag_page;
mod words;

use std::sync::Arc;

pub use access::{Door, Entrance};
pub use handler::Manage;
pub use mount::Mounted;

use super::hit::LiveHits;
use super::refusals::Refusals;

/// The listener that serves the editors' pages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Dashboard {
    /// The admin listener.
    #[default]
    Admin,
    /// The public listener too.
    Public,
    Off,
}

/// Settings of the pages, on whichever listener.
#[derive(Debug)]
pub struct ManageSettings {
    pub dashboard: Dashboard,
    /// Path under which the public listener is served.
    pub path_prefix: String,
    pub live_hits: Arc<LiveHits>,
    pub refusals: Arc<Refusals>,
    pub entrance: Entrance,
}

impl Dashboard {
    /// As the configuration writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Public => "public",
            Self::Off => "off",
        }
    }

    pub fn is_on_admin(self) -> bool {
        self != Self::Off
    }

    pub fn is_on_public(self) -> bool {
        self == Self::Public
    }
}
