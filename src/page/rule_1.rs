//! Rule 1, of 0.1: addresses under which older counts stand.

use std::sync::{Arc, LazyLock};

use url::Url;

use super::address::PageAddress;
use super::pattern::Pattern;
use super::query::Fate;
use super::rules::{PageParams, PageRules};

/// The page that has a page of rule 1 now; none if that keeps its address, or if its address holds personal data, by
/// which it was one page of several.
pub fn present(old: &PageAddress, rules: &PageRules) -> Option<PageAddress> {
    if old.is_other() || old.is_cut() {
        return None;
    }
    let url = Url::parse(&format!("http://page.invalid{old}")).ok()?;
    let is_personal = rules.fates(&url).iter().any(|(.., fate)| *fate == Fate::Personal);
    let page = PageAddress::of(&url, rules);
    (page != *old && !is_personal).then_some(page)
}

/// True for an address that the present rule makes of no url, whatever parameters the site names: in Redis, where
/// nothing else says by which rule a page counts.
pub fn is_recognised(address: &PageAddress, rules: &PageRules) -> bool {
    static ALL: LazyLock<Arc<[Pattern]>> = LazyLock::new(|| "*".parse().into_iter().collect());
    let params = PageParams::Only(Arc::clone(&ALL));
    let any = PageRules { params, case: rules.case, ..PageRules::with_defaults(rules.language) };
    PageAddress::from_import(address.as_str(), &any).is_some_and(|page| page != *address)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(address: &str) -> PageAddress {
        PageAddress::from_stored(address)
    }

    #[test]
    fn a_page_that_the_rule_only_renames_has_a_present_address() {
        let rules = PageRules::with_defaults("vi");
        for (old, now) in [
            ("/?nv=news&op=Tin%2Fbai-7&id=7", Some("/?id=7&nv=news&op=Tin/bai-7")),
            ("/?nv=news&id=7", Some("/?id=7&nv=news")),
            ("/Tin/Bai.aspx?ItemID=5", Some("/tin/bai.aspx?itemid=5")),
            ("/tin/bai.aspx?ItemID=5", Some("/tin/bai.aspx?itemid=5")),
            ("/tin//bai", Some("/tin/bai")),
            ("/tin?p=1", Some("/tin")),
            ("/", None),
            ("/?id=7&nv=news", None),
            ("/viewtopic.php", None),
            ("(other)", None),
            ("/a%20b", None),
            // A page of one reader, or of several with one name.
            ("/tra-cuu?id=0912345678", None),
            ("/tra-cuu?id=a@b.vn&nv=x", None),
        ] {
            assert_eq!(present(&page(old), &rules).as_ref().map(PageAddress::as_str), now, "{old}");
        }
    }

    #[test]
    fn an_address_is_recognised_by_what_no_parameters_of_a_site_can_make() {
        let rules = PageRules::with_defaults("vi");
        for old in ["/?nv=news&id=7", "/a?op=Tin%2Fbai", "/tin//bai", "/a.aspx?ItemID=5", "/Tin/Bai.aspx", "/tin/amp"] {
            assert!(is_recognised(&page(old), &rules), "{old}");
        }
        // Sites that name their parameters have pages of the present rule that look so.
        for other in ["/", "/?id=7&nv=news", "/tin?p=1", "/a?utm_source=x", "/?/archives/1", "(other)", "/Tin/Bai.html"]
        {
            assert!(!is_recognised(&page(other), &rules), "{other}");
        }
    }
}
