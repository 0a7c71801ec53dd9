//! Head of a site's pages: its name, and the way to each of them.

use super::frame::Frame;
use super::overview::name;
use crate::counter::RegisteredSite;

/// A page of a site.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tab {
    Figures,
    Live,
    Tag,
    Sources,
    /// Share links, for editors alone.
    Shares,
}

pub struct SiteHead {
    pub id: String,
    pub name: String,
    pub tabs: Vec<TabLink>,
    /// Address of its live figures.
    pub now: String,
}

pub struct TabLink {
    pub label: &'static str,
    pub href: String,
    pub is_current: bool,
}

impl SiteHead {
    pub fn of(frame: &Frame, site: &RegisteredSite, current: Tab) -> Self {
        let words = frame.words;
        let tab = |(tab, label, path): (Tab, &'static str, &str)| TabLink {
            label,
            href: frame.href(&format!("/sites/{}{path}", site.site.id), &[]),
            is_current: tab == current,
        };
        let tabs = [
            (Tab::Figures, words.tab_figures, ""),
            (Tab::Live, words.tab_live, "/live"),
            (Tab::Tag, words.tab_tag, "/tag"),
            (Tab::Sources, words.tab_sources, "/sources"),
            (Tab::Shares, words.share_links, "/shares"),
        ];
        let is_shown = |tab: &(Tab, &'static str, &str)| tab.0 != Tab::Shares || frame.may_edit(&site.site);
        let tabs = tabs.into_iter().filter(is_shown).map(tab).collect();
        let now = frame.href(&format!("/sites/{}/now.json", site.site.id), &[]);
        Self { id: site.site.id.to_string(), name: name(site).to_owned(), tabs, now }
    }
}
