//! Findings about a portal's page: is its tag there, and will its views count?
//!
//! Pure: pages and answers are arguments, and `operate` fetches them. Nothing here counts a view.
//!
//! ```text
//! finding    one finding, and its weight
//! csp        a page's Content-Security-Policy
//! page_url   the address of a page that is examined
//! page       the page's own parts: tags, pixels, canonical address
//! of_page    findings in the page itself
//! of_script  findings in the script's answer
//! of_service findings in the counter's answers
//! ```

mod csp;
mod finding;
mod of_page;
mod of_script;
mod of_service;
mod page;
mod page_url;

pub use csp::Policies;
pub use finding::{Finding, Weight};
pub use of_page::{Head, findings_of_page, findings_of_pixel, findings_of_tag, has_tag};
pub use of_script::{is_ours, prefixes_to_try, script_finding};
pub use of_service::{Answer, canonical_finding, hit_path_finding, origin_finding, site_finding};
pub use page::{Page, Pixel, Tag};
pub use page_url::PageUrl;
