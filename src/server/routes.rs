//! Routes: one table for each listener. A row holds a path, its methods and its endpoint.
//!
//! The fast path, hyper's path, `Allow`, the preflight, the metrics' labels, the operator's commands
//! and the OpenAPI documents all read these tables. A new route is a row here, an arm in the listener
//! (`public`, `admin`), and an entry in its OpenAPI document.

/// Endpoints of the public listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Public {
    Hit,
    Pixel,
    Figures,
    PageFigures,
    TopPages,
    History,
    PageHistory,
    Chart,
    Script,
    ScriptVersioned,
    OpenApi,
    /// The demo page of the built-in site, or the home page.
    Home,
    DemoStyles,
    DemoScript,
    /// The path prefix without its slash, which redirects to the one with it.
    Prefix,
    Unknown,
}

/// Endpoints of the admin listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admin {
    Metrics,
    Alive,
    Ready,
    OpenApi,
    Sites,
    Export,
    Import,
    Sources,
    Forget,
    Reset,
    Figures,
    PageFigures,
    TopPages,
    History,
    PageHistory,
    Chart,
    Bots,
    Pages,
    PageRules,
    Parameters,
    Warnings,
    Refused,
    RefusedOfSite,
    Verify,
    Repair,
    AcceptClock,
    Reload,
    Tokens,
}

/// Editors' pages, which a listener serves beside its own endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manage {
    Overview,
    /// The overview with a slash behind it, which redirects to the one without.
    Slash,
    Styles,
    Script,
    Icon,
    OverviewNow,
    Login,
    Logout,
    /// Address of a share link, whose secret takes the place of the site.
    Share,
    /// Share links of a site.
    Shares,
    Site,
    SiteNow,
    Page,
    Live,
    LiveRows,
    Tag,
    Sources,
    Forget,
}

/// Address of the script that never changes.
pub const SCRIPT_VERSIONED: &str = concat!("/thongke-", env!("CARGO_PKG_VERSION"), ".js");

const READ: &str = "GET, HEAD, OPTIONS";

/// In the order in which a path is compared: the most requested first.
pub static PUBLIC: [Route<Public>; 14] = [
    Route::new(Public::Hit, "/v1/hit", "POST, OPTIONS"),
    Route::new(Public::Figures, "/v1/sites/{site}/figures", READ),
    // Not HEAD: a GET of the pixel counts, and asking about it must not.
    Route::new(Public::Pixel, "/v1/hit.gif", "GET, OPTIONS"),
    Route::new(Public::Script, "/thongke.js", READ),
    Route { label: "/thongke-VERSION.js", ..Route::new(Public::ScriptVersioned, SCRIPT_VERSIONED, READ) },
    Route::new(Public::TopPages, "/v1/sites/{site}/pages", READ),
    Route::new(Public::PageFigures, "/v1/sites/{site}/pages/figures", READ),
    Route::new(Public::History, "/v1/sites/{site}/history", READ),
    Route::new(Public::PageHistory, "/v1/sites/{site}/pages/history", READ),
    Route::new(Public::Chart, "/v1/sites/{site}/chart.svg", READ),
    Route::new(Public::OpenApi, "/openapi.json", READ),
    Route::new(Public::Home, "/", READ),
    Route::new(Public::DemoStyles, "/demo.css", READ),
    Route::new(Public::DemoScript, "/demo.js", READ),
];

static PREFIX: Route<Public> = Route { label: "other", ..Route::new(Public::Prefix, "", READ) };

/// Any path that is in no row.
static UNKNOWN: Route<Public> = Route { label: "other", ..Route::new(Public::Unknown, "", "GET, HEAD, POST, OPTIONS") };

pub static ADMIN: [Route<Admin>; 28] = [
    Route::new(Admin::Metrics, "/metrics", "GET, HEAD"),
    Route::new(Admin::Alive, "/healthz", "GET, HEAD"),
    Route::new(Admin::Ready, "/readyz", "GET, HEAD"),
    Route::new(Admin::OpenApi, "/openapi.json", "GET, HEAD"),
    Route::new(Admin::Sites, "/sites", "GET, HEAD"),
    Route::new(Admin::Export, "/sites/{site}/export", "GET, HEAD"),
    Route::new(Admin::Import, "/sites/{site}/import", "POST"),
    Route::new(Admin::Sources, "/sites/{site}/sources", "GET, HEAD"),
    Route::new(Admin::Forget, "/sites/{site}/sources/{source}", "DELETE"),
    Route::new(Admin::Reset, "/sites/{site}/reset", "POST, DELETE"),
    Route::new(Admin::Figures, "/sites/{site}/figures", "GET, HEAD"),
    Route::new(Admin::PageFigures, "/sites/{site}/pages/figures", "GET, HEAD"),
    Route::new(Admin::TopPages, "/sites/{site}/pages/top", "GET, HEAD"),
    Route::new(Admin::History, "/sites/{site}/history", "GET, HEAD"),
    Route::new(Admin::PageHistory, "/sites/{site}/pages/history", "GET, HEAD"),
    Route::new(Admin::Chart, "/sites/{site}/chart.svg", "GET, HEAD"),
    Route::new(Admin::Bots, "/sites/{site}/bots", "GET, HEAD"),
    Route::new(Admin::Pages, "/sites/{site}/pages", "GET, HEAD"),
    Route::new(Admin::PageRules, "/sites/{site}/pages/rules", "GET, HEAD, PUT, DELETE"),
    Route::new(Admin::Parameters, "/sites/{site}/pages/parameters", "GET, HEAD"),
    Route::new(Admin::Warnings, "/warnings", "GET, HEAD"),
    Route::new(Admin::Refused, "/refused", "GET, HEAD"),
    Route::new(Admin::RefusedOfSite, "/sites/{site}/refused", "GET, HEAD"),
    Route::new(Admin::Verify, "/sites/{site}/verify", "GET, HEAD"),
    Route::new(Admin::Repair, "/sites/{site}/repair", "POST"),
    Route::new(Admin::AcceptClock, "/clock/accept", "POST"),
    Route::new(Admin::Reload, "/reload", "POST"),
    Route::new(Admin::Tokens, "/tokens", "GET, HEAD, POST, DELETE"),
];

pub static MANAGE: [Route<Manage>; 18] = [
    Route::new(Manage::Overview, "/manage", "GET, HEAD"),
    Route::new(Manage::Slash, "/manage/", "GET, HEAD"),
    Route::new(Manage::Styles, "/manage/style.css", "GET, HEAD"),
    Route::new(Manage::Script, "/manage/manage.js", "GET, HEAD"),
    Route::new(Manage::Icon, "/manage/icon.svg", "GET, HEAD"),
    Route::new(Manage::OverviewNow, "/manage/now.json", "GET, HEAD"),
    Route::new(Manage::Login, "/manage/login", "GET, HEAD, POST"),
    Route::new(Manage::Logout, "/manage/logout", "POST"),
    Route::new(Manage::Share, "/manage/share/{link}", "GET, HEAD"),
    Route::new(Manage::Shares, "/manage/sites/{site}/shares", "GET, HEAD, POST"),
    Route::new(Manage::Site, "/manage/sites/{site}", "GET, HEAD"),
    Route::new(Manage::SiteNow, "/manage/sites/{site}/now.json", "GET, HEAD"),
    Route::new(Manage::Page, "/manage/sites/{site}/page", "GET, HEAD"),
    Route::new(Manage::Live, "/manage/sites/{site}/live", "GET, HEAD"),
    Route::new(Manage::LiveRows, "/manage/sites/{site}/live.json", "GET, HEAD"),
    Route::new(Manage::Tag, "/manage/sites/{site}/tag", "GET, HEAD"),
    Route::new(Manage::Sources, "/manage/sites/{site}/sources", "GET, HEAD"),
    Route::new(Manage::Forget, "/manage/sites/{site}/sources/forget", "POST"),
];

/// A row of a listener's table.
#[derive(Debug, PartialEq, Eq)]
pub struct Route<E: 'static> {
    pub endpoint: E,
    pub path: &'static str,
    /// As `Allow` lists them.
    pub methods: &'static str,
    first_method: &'static str,
    /// The route's name in the metrics.
    pub label: &'static str,
    /// The path around its `{site}`, and the rest before a `{source}`, if it has any.
    parts: Option<(&'static str, &'static str)>,
    has_source: bool,
}

/// A matched route, and what its path names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Matched<'a, E: 'static> {
    pub route: &'static Route<E>,
    pub site: &'a str,
    pub source: &'a str,
}

const SITE: &str = "{site}";
/// Part of an admin path that stands for a source.
pub const SOURCE: &str = "{source}";

impl<E: Copy> Route<E> {
    const fn new(endpoint: E, path: &'static str, methods: &'static str) -> Self {
        let bytes = path.as_bytes();
        let mut at = 0;
        while at < bytes.len() && bytes[at] != b'{' {
            at += 1;
        }
        let mut end = at;
        while end < bytes.len() && bytes[end] != b'}' {
            end += 1;
        }
        let has_source = bytes.len() > end + 1 && bytes[bytes.len() - 1] == b'}';
        let parts = if at == bytes.len() {
            None
        } else {
            let (before, _) = path.split_at(at);
            let (_, after) = path.split_at(end + 1);
            let end = if has_source { after.len() - SOURCE.len() } else { after.len() };
            Some((before, after.split_at(end).0))
        };
        let mut first_end = 0;
        while first_end < methods.len() && methods.as_bytes()[first_end] != b',' {
            first_end += 1;
        }
        let first_method = methods.split_at(first_end).0;
        Self { endpoint, path, methods, first_method, label: path, parts, has_source }
    }

    /// The site and the source that a path of this route names; none for other paths.
    fn captures<'a>(&self, path: &'a str) -> Option<(&'a str, &'a str)> {
        let Some((before, after)) = self.parts else { return (path == self.path).then_some(("", "")) };
        let rest = path.strip_prefix(before)?;
        let (site, source) = if self.has_source { rest.split_once(after)? } else { (rest.strip_suffix(after)?, "") };
        (!site.is_empty() && !site.contains('/')).then_some((site, source))
    }

    pub fn allows(&self, method: &str) -> bool {
        // Nearly all requests have the first method.
        method == self.first_method || self.methods.split(", ").any(|allowed| allowed == method)
    }
}

fn find<'a, E: Copy>(table: &'static [Route<E>], path: &'a str) -> Option<Matched<'a, E>> {
    table.iter().find_map(|route| {
        let (site, source) = route.captures(path)?;
        Some(Matched { route, site, source })
    })
}

/// The route of a path under `prefix`.
pub fn public<'a>(path: &'a str, prefix: &str) -> Matched<'a, Public> {
    let other = |route| Matched { route, site: "", source: "" };
    match path.strip_prefix(prefix) {
        Some("") if !prefix.is_empty() => other(&PREFIX),
        Some(path) => find(&PUBLIC, path).unwrap_or(other(&UNKNOWN)),
        None => other(&UNKNOWN),
    }
}

/// True for a path of the editors' pages under `prefix`, one that is in no row too.
pub fn is_managed(path: &str, prefix: &str) -> bool {
    let rest = path.strip_prefix(prefix).and_then(|path| path.strip_prefix("/manage"));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The editors' page of a path under `prefix`.
pub fn manage<'a>(path: &'a str, prefix: &str) -> Option<Matched<'a, Manage>> {
    find(&MANAGE, path.strip_prefix(prefix)?)
}

pub fn admin(path: &str) -> Option<Matched<'_, Admin>> {
    find(&ADMIN, path)
}

/// The path of a public endpoint, for messages.
pub fn public_path(endpoint: Public) -> &'static str {
    PUBLIC.iter().find(|route| route.endpoint == endpoint).map_or("/", |route| route.path)
}

/// The path of an admin endpoint, for the operator's commands.
pub fn admin_path(endpoint: Admin, site: &str) -> String {
    let path = ADMIN.iter().find(|route| route.endpoint == endpoint).map_or("/", |route| route.path);
    path.replace(SITE, site)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint<'a>(path: &'a str, prefix: &str) -> (Public, &'a str) {
        let Matched { route, site, .. } = public(path, prefix);
        (route.endpoint, site)
    }

    #[test]
    fn a_path_names_its_endpoint_and_nothing_near_it() {
        for route in &PUBLIC {
            assert_eq!(endpoint(&route.path.replace(SITE, "demo"), "").0, route.endpoint);
        }
        assert_eq!(endpoint("/v1/sites/demo/figures", ""), (Public::Figures, "demo"));
        assert_eq!(endpoint("/v1/sites/demo/pages/figures", ""), (Public::PageFigures, "demo"));
        assert_eq!(endpoint("/v1/sites/pages/figures", ""), (Public::Figures, "pages"));
        assert_eq!(endpoint("/tk/v1/sites/demo/chart.svg", "/tk"), (Public::Chart, "demo"));
        assert_eq!(endpoint("/tk/v1/hit.gif", "/tk").0, Public::Pixel);
        assert_eq!(endpoint("/tk/", "/tk").0, Public::Home);
        assert_eq!(endpoint("/tk", "/tk").0, Public::Prefix);
        for (path, prefix) in [
            ("/v1/hit/", ""),
            ("/v1/hitx", ""),
            ("//v1/hit", ""),
            ("/V1/hit", ""),
            ("", ""),
            ("*", ""),
            ("/v1/sites//figures", ""),
            ("/v1/sites/figures", ""),
            ("/v1/sites/a/b/figures", ""),
            ("/v1/sites/a/pages/", ""),
            ("/v1/sites/a/chart", ""),
            ("/v1/sites/a", ""),
            ("/v1/hit", "/tk"),
            ("/tkv1/hit", "/tk"),
        ] {
            assert_eq!(endpoint(path, prefix), (Public::Unknown, ""), "{path}");
        }
    }

    #[test]
    fn an_admin_path_names_its_endpoint_site_and_source() {
        for route in &ADMIN {
            let path = admin_path(route.endpoint, "demo").replace(SOURCE, "import:old");
            let found = admin(&path).unwrap();
            assert_eq!(found.route.endpoint, route.endpoint, "{path}");
            assert_eq!(found.site, if route.path.contains(SITE) { "demo" } else { "" });
            assert_eq!(found.source, if route.path.contains(SOURCE) { "import:old" } else { "" });
        }
        assert_eq!(admin("/sites/demo/sources/import:a/b").unwrap().source, "import:a/b");
        for path in ["/", "/sites/demo", "/sites/demo/", "/sites//export", "/sites/demo/sourcesx", "/metrics/"] {
            assert_eq!(admin(path), None, "{path}");
        }
    }

    #[test]
    fn a_path_of_the_editors_pages_names_its_endpoint_and_site() {
        for route in &MANAGE {
            let path = route.path.replace(SITE, "demo").replace("{link}", "demo");
            for prefix in ["", "/tk"] {
                let under = format!("{prefix}{path}");
                let found = manage(&under, prefix).unwrap();
                assert_eq!(found.route.endpoint, route.endpoint, "{path}");
                assert_eq!(found.site, if route.path.contains('{') { "demo" } else { "" });
            }
            assert_eq!(manage(&path, "/tk"), None);
            assert!(is_managed(&path, "") && !is_managed(&path, "/tk"));
        }
        assert!(is_managed("/manage/x/y", "") && !is_managed("/managers", "") && !is_managed("/", ""));
        for path in ["/managers", "/manage/sites", "/manage/sites/", "/manage/sites/a/b", "/manage/x", "/Manage"] {
            assert_eq!(manage(path, ""), None, "{path}");
        }
    }

    #[test]
    fn a_route_allows_what_it_lists() {
        let hit = public("/v1/hit", "").route;
        assert!(hit.allows("POST") && hit.allows("OPTIONS") && !hit.allows("GET") && !hit.allows("POST, OPTIONS"));
        let figures = public("/v1/sites/demo/figures", "").route;
        assert!(figures.allows("HEAD") && !figures.allows("POST") && !figures.allows(""));
    }
}
