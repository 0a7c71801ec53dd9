//! A page's life in a reader's browser: each counts exactly once, or not at all.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fantoccini::{Client, Locator};
use tempfile::TempDir;

use crate::driver::{DevTools, Driver};
use crate::node::{Node, until};

const LONG: Duration = Duration::from_secs(60);

/// A portal: a node that counts for it, and a web server of its pages.
struct Portal {
    _directory: TempDir,
    node: Node,
    pages: Pages,
    driver: Driver,
}

struct Pages {
    port: u16,
    /// Path → requests for it, each as its head.
    requests: Arc<Mutex<Vec<(String, String)>>>,
}

impl Portal {
    /// Placeholders in a page: `SCRIPT` is the script's address, `SERVICE` the node's, `PORT` the portal's.
    fn start(pages: &[(&'static str, &str)]) -> Self {
        let directory = TempDir::new().unwrap();
        let config = directory.path().join("thongke.toml");
        let site =
            |id: &str, host: &str| format!("[sites.{id}]\norigins = [\"http://{host}:*\"]\nfigures = [\"total\"]\n");
        std::fs::write(&config, site("a", "localhost") + &site("b", "127.0.0.1")).unwrap();
        let node = Node::start(&directory.path().join("data"), &["--config", config.to_str().unwrap()]);
        let service = format!("http://{}", node.public);
        let script = format!("{service}/thongke.js");
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let filled = |html: &str| {
            html.replace("SCRIPT", &script).replace("SERVICE", &service).replace("PORT", &port.to_string())
        };
        let pages = pages.iter().map(|(path, html)| (*path, filled(html))).collect();
        Self { _directory: directory, node, pages: Pages::serve(listener, pages), driver: Driver::start() }
    }

    fn url(&self, path: &str) -> String {
        format!("http://localhost:{}{path}", self.pages.port)
    }

    fn total(&self) -> i64 {
        self.node.get("/v1/sites/a/figures").figure("total")
    }

    /// Waits for each page's views; an answer may be a second old.
    fn read(&self, expected: &[(&str, i64)]) {
        for (path, views) in expected {
            let query = format!("/v1/sites/a/pages/figures?url={}", self.url(path));
            let read = || self.node.get(&query).json()["pages"][0]["figures"][0]["value"] == *views;
            until(&format!("{path} has {views} views"), LONG, read);
        }
    }

    /// Hits that arrived, counted or not.
    fn received(&self) -> f64 {
        let metrics = self.node.admin_get("/metrics").body;
        let hits = metrics.lines().filter(|line| line.starts_with("thongke_hits_total{"));
        hits.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    /// Asserts that so many hits are counted and no further ones arrive.
    async fn counts(&self, hits: i64) {
        until(&format!("{hits} are counted, not {}", self.total()), LONG, || self.total() >= hits);
        tokio::time::sleep(Duration::from_millis(400)).await;
        assert_eq!((self.total(), self.received()), (hits, hits as f64));
    }

    fn run(self, test: impl AsyncFnOnce(&Self, &Client)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let browser = self.driver.persons_browser().await;
            test(&self, &browser).await;
            browser.close().await.unwrap();
        });
        self.node.stop();
    }
}

impl Pages {
    fn serve(listener: TcpListener, pages: BTreeMap<&'static str, String>) -> Self {
        let port = listener.local_addr().unwrap().port();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (pages, log) = (Arc::new(pages), Arc::clone(&requests));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (pages, log) = (Arc::clone(&pages), Arc::clone(&log));
                // A browser opens connections that it may never use.
                std::thread::spawn(move || Self::answer(stream, &pages, &log));
            }
        });
        Self { port, requests }
    }

    fn answer(mut stream: TcpStream, pages: &BTreeMap<&str, String>, log: &Mutex<Vec<(String, String)>>) {
        let head: Vec<String> = BufReader::new(stream.try_clone().unwrap())
            .lines()
            .map_while(Result::ok)
            .take_while(|line| !line.is_empty())
            .collect();
        let Some(path) = head.first().and_then(|line| line.split(' ').nth(1)) else { return };
        let path = path.split('?').next().unwrap_or_default();
        log.lock().unwrap().push((path.to_owned(), head.join("\n").to_ascii_lowercase()));
        let (status, html) = pages.get(path).map_or(("404 Not Found", ""), |html| ("200 OK", html));
        let head = "Content-Type: text/html; charset=utf-8\r\nCache-Control: no-cache\r\nConnection: close";
        let _ = write!(stream, "HTTP/1.1 {status}\r\n{head}\r\nContent-Length: {}\r\n\r\n{html}", html.len());
    }

    fn was_requested(&self, path: &str, field: &str) -> bool {
        self.requests.lock().unwrap().iter().any(|(requested, head)| requested == path && head.contains(field))
    }
}

const TAG: &str = r#"<!DOCTYPE html><title>Bài</title><body><div data-thongke></div><script async src="SCRIPT" data-site="a"></script>"#;
const EMPTY: &str = "<!DOCTYPE html><title>Trống</title>";

async fn shown(browser: &Client) -> String {
    let value = browser.wait().at_most(LONG).for_element(Locator::Css(".thongke-value")).await.unwrap();
    value.text().await.unwrap()
}

#[test]
fn one_view_counts_once_and_the_way_back_from_the_browsers_cache_once_more() {
    let portal = Portal::start(&[("/bai", TAG), ("/trong", EMPTY)]);
    portal.run(async |portal, browser| {
        browser.goto(&portal.url("/bai")).await.unwrap();
        assert_eq!(shown(browser).await, "1");
        portal.counts(1).await;
        browser.execute("window.kept = true", Vec::new()).await.unwrap();
        browser.goto(&portal.url("/trong")).await.unwrap();
        portal.counts(1).await;
        browser.back().await.unwrap();
        portal.counts(2).await;
        // The very same page, not a new load: otherwise the test shows nothing about the cache.
        assert_eq!(browser.execute("return window.kept", Vec::new()).await.unwrap(), true);
    });
}

#[test]
fn two_tags_or_a_frame_of_the_same_portal_are_one_view() {
    let two = format!("{TAG}<script async src=\"SCRIPT?2\" data-site=\"a\"></script>");
    let framing = format!("{TAG}<iframe src=\"/bai\"></iframe>");
    let frame_only = format!("{EMPTY}<body><iframe src=\"/bai\"></iframe>");
    let portal = Portal::start(&[("/bai", TAG), ("/hai", &two), ("/khung", &framing), ("/chi-khung", &frame_only)]);
    portal.run(async |portal, browser| {
        for (at, path) in ["/hai", "/khung", "/chi-khung"].into_iter().enumerate() {
            browser.goto(&portal.url(path)).await.unwrap();
            portal.counts(at as i64 + 1).await;
        }
    });
}

#[test]
fn a_frame_that_is_there_first_leaves_the_view_to_the_page_around_it() {
    // The page's own tag arrives after the frame has run its tag.
    let late = r#"<!DOCTYPE html><title>Bài</title><body><div data-thongke></div>
        <iframe src="/con" onload="
            var tag = document.createElement('script');
            tag.src = 'SCRIPT';
            tag.setAttribute('data-site', 'a');
            document.body.appendChild(tag)"></iframe>"#;
    let portal = Portal::start(&[("/bai", late), ("/con", TAG)]);
    portal.run(async |portal, browser| {
        for views in 1..=2 {
            browser.goto(&portal.url("/bai")).await.unwrap();
            assert_eq!(shown(browser).await, views.to_string());
            portal.counts(views).await;
            portal.read(&[("/bai", views), ("/con", 0)]);
        }
    });
}

#[test]
fn each_page_that_a_frame_goes_to_counts_where_nothing_around_it_does() {
    let around = format!("{EMPTY}<body><iframe src=\"/bai\"></iframe>");
    let portal = Portal::start(&[("/khung", &around), ("/bai", TAG), ("/bai-2", TAG)]);
    portal.run(async |portal, browser| {
        browser.goto(&portal.url("/khung")).await.unwrap();
        portal.counts(1).await;
        browser.execute("frames[0].location.href = '/bai-2'", Vec::new()).await.unwrap();
        portal.counts(2).await;
        portal.read(&[("/khung", 0), ("/bai", 1), ("/bai-2", 1)]);
    });
}

#[test]
fn a_frame_of_another_origin_is_a_page_by_itself_and_one_without_an_origin_is_none() {
    let elsewhere = TAG.replace("data-site=\"a\"", "data-site=\"b\"");
    let around = format!("{TAG}<iframe src=\"//127.0.0.1:PORT/con\"></iframe>");
    let shut = format!("{TAG}<iframe sandbox=\"allow-scripts\" src=\"/bai\"></iframe>");
    let portal = Portal::start(&[("/khung", &around), ("/con", &elsewhere), ("/hop", &shut), ("/bai", TAG)]);
    portal.run(async |portal, browser| {
        browser.goto(&portal.url("/khung")).await.unwrap();
        let other = || portal.node.get("/v1/sites/b/figures").figure("total");
        until("the frame is counted for its own site", LONG, || other() == 1 && portal.total() == 1);
        browser.goto(&portal.url("/hop")).await.unwrap();
        until("the page around is counted", LONG, || portal.total() == 2);
        until("the frame is refused", LONG, || portal.node.admin_get("/metrics").body.contains("reason=\"origin\"} 1"));
        tokio::time::sleep(Duration::from_millis(400)).await;
        assert_eq!((portal.total(), other(), portal.received()), (2, 1, 3.0));
        portal.read(&[("/khung", 1), ("/hop", 1), ("/bai", 0)]);
    });
}

#[test]
fn a_reader_who_leaves_before_the_answer_is_counted() {
    let leaving = r#"<!DOCTYPE html><title>Bài</title><body>
        <script src="SCRIPT" data-site="a"></script><script>location.href = '/trong';</script>"#;
    let portal = Portal::start(&[("/bai", leaving), ("/trong", EMPTY)]);
    portal.run(async |portal, browser| {
        browser.goto(&portal.url("/bai")).await.unwrap();
        browser.wait().at_most(LONG).for_url(&portal.url("/trong").parse().unwrap()).await.unwrap();
        portal.counts(1).await;
    });
}

#[test]
fn a_page_made_ahead_counts_when_the_reader_comes_to_it() {
    let ahead = r#"<!DOCTYPE html><title>Trước</title><body><a href="/bai">Bài</a>
        <script type="speculationrules">{"prerender":[{"source":"list","urls":["/bai"],"eagerness":"immediate"}]}</script>"#;
    let portal = Portal::start(&[("/truoc", ahead), ("/bai", TAG)]);
    portal.run(async |portal, browser| {
        browser.goto(&portal.url("/truoc")).await.unwrap();
        until("the page is made ahead", LONG, || portal.pages.was_requested("/bai", "prerender"));
        // Long enough for a script that would not wait.
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(portal.received(), 0.0);
        browser.find(Locator::Css("a")).await.unwrap().click().await.unwrap();
        portal.counts(1).await;
        let activation = "return performance.getEntriesByType('navigation')[0].activationStart > 0";
        assert_eq!(browser.execute(activation, Vec::new()).await.unwrap(), true);
    });
}

#[test]
fn a_tab_in_the_background_counts_when_it_is_looked_at() {
    let portal = Portal::start(&[("/bai", TAG), ("/trong", EMPTY)]);
    portal.run(async |portal, browser| {
        browser.goto(&portal.url("/trong")).await.unwrap();
        let first = browser.window().await.unwrap();
        let tab = browser.new_window(true).await.unwrap().handle;
        browser.switch_to_window(tab.clone()).await.unwrap();
        browser.goto(&portal.url("/trong")).await.unwrap();
        // Loaded after the reader has returned to the first tab.
        let later = "const link = arguments[0]; document.addEventListener('visibilitychange', () => { if (document.hidden) location.href = link; });";
        browser.execute(later, vec![portal.url("/bai").into()]).await.unwrap();
        browser.switch_to_window(first).await.unwrap();
        bring_to_front(browser).await;
        until("the tab has loaded", LONG, || portal.pages.was_requested("/bai", ""));
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(portal.received(), 0.0);
        browser.switch_to_window(tab).await.unwrap();
        bring_to_front(browser).await;
        portal.counts(1).await;
    });
}

/// A screenshot brings a tab to the front, as a reader's click does.
async fn bring_to_front(browser: &Client) {
    browser.screenshot().await.unwrap();
}

const SINGLE: &str = r#"<!DOCTYPE html><title>Một trang</title><body>BEFORE<div data-thongke></div>
    <script async src="SCRIPT" data-site="a" data-spa></script>"#;

/// Navigation of a single-page site, and the views that it adds.
const MOVES: [(&str, i64); 6] = [
    ("history.pushState(null, '', '/bai-2')", 1),
    ("history.pushState(null, '', '/bai-2#binh-luan')", 0),
    ("history.replaceState(null, '', '/bai-2?xem=1')", 0),
    ("history.pushState(null, '', '/bai-3')", 1),
    ("history.back()", 1),
    ("location.hash = 'cuoi'", 0),
];

async fn goes_through(portal: &Portal, browser: &Client) {
    browser.goto(&portal.url("/mot")).await.unwrap();
    portal.counts(1).await;
    let mut hits = 1;
    for (script, more) in MOVES {
        browser.execute(script, Vec::new()).await.unwrap();
        hits += more;
        // Longer than the script waits for a new page's title.
        tokio::time::sleep(Duration::from_millis(700)).await;
        portal.counts(hits).await;
    }
}

#[test]
fn each_page_of_a_single_page_site_counts() {
    let portal = Portal::start(&[("/mot", &SINGLE.replace("BEFORE", ""))]);
    portal.run(async |portal, browser| goes_through(portal, browser).await);
}

#[test]
fn a_single_page_site_in_the_background_counts_the_page_that_the_reader_comes_back_to() {
    let portal = Portal::start(&[("/mot", &SINGLE.replace("BEFORE", "")), ("/trong", EMPTY)]);
    portal.run(async |portal, browser| {
        browser.goto(&portal.url("/trong")).await.unwrap();
        let first = browser.window().await.unwrap();
        let tab = browser.new_window(true).await.unwrap().handle;
        browser.switch_to_window(tab.clone()).await.unwrap();
        browser.goto(&portal.url("/mot")).await.unwrap();
        portal.counts(1).await;
        // The application navigates by itself while the tab is hidden.
        let later = "document.addEventListener('visibilitychange', () => { if (document.hidden) { \
            history.pushState(null, '', '/hai'); history.pushState(null, '', '/ba'); document.title = 'Ba'; } });";
        browser.execute(later, Vec::new()).await.unwrap();
        browser.switch_to_window(first).await.unwrap();
        bring_to_front(browser).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        portal.counts(1).await;
        browser.switch_to_window(tab).await.unwrap();
        bring_to_front(browser).await;
        portal.counts(2).await;
        portal.read(&[("/mot", 1), ("/hai", 0), ("/ba", 1)]);
    });
}

#[test]
fn an_older_browser_counts_and_shows_all_the_same() {
    // Browser features since 2018, removed as far as a page can remove them.
    let without = "<script>
        ['navigation', 'globalThis', 'queueMicrotask', 'structuredClone', 'AbortController', 'BigInt', 'WeakRef',
            'scheduler', 'cookieStore', 'URLPattern'].forEach(
            name => Object.defineProperty(window, name, {value: undefined}));
        [[Array, 'at flat flatMap findLast toSorted with'], [String, 'at replaceAll matchAll trimEnd isWellFormed toWellFormed'],
            [Element, 'replaceChildren checkVisibility setHTMLUnsafe'], [Document, 'prerendering replaceChildren'],
            [Promise, 'finally']].forEach(
            ([kind, names]) => names.split(' ').forEach(name => delete kind.prototype[name]));
        ['fromEntries', 'hasOwn', 'groupBy'].forEach(name => delete Object[name]);
        ['allSettled', 'any', 'try', 'withResolvers'].forEach(name => delete Promise[name]);
        ['canParse', 'parse'].forEach(name => delete URL[name]);
        </script>";
    let portal = Portal::start(&[("/mot", &SINGLE.replace("BEFORE", without))]);
    portal.run(async |portal, browser| {
        goes_through(portal, browser).await;
        assert_eq!(shown(browser).await, "4");
    });
}

#[test]
fn a_new_page_of_a_single_page_site_has_its_own_title_or_none() {
    // An application's page has one title for all addresses until it knows its article.
    let application =
        "<script>addEventListener('pageshow', () => setTimeout(() => document.title = 'Bài bốn'))</script>";
    let portal =
        Portal::start(&[("/mot", &SINGLE.replace("BEFORE", "")), ("/bon", &SINGLE.replace("BEFORE", application))]);
    portal.run(async |portal, browser| {
        browser.goto(&portal.url("/mot")).await.unwrap();
        portal.counts(1).await;
        // Delay of the title after the address, in ms.
        let moves = [("/som", Some(50)), ("/muon", Some(200)), ("/khong", None), ("/qua-muon", Some(1_000)), ("/sau", None)];
        for (at, (path, after)) in moves.into_iter().enumerate() {
            let script = "const [path, after] = arguments; history.pushState(null, '', path); \
                if (after) setTimeout(() => document.title = 'Bài ' + path, after);";
            browser.execute(script, vec![path.into(), after.into()]).await.unwrap();
            portal.counts(at as i64 + 2).await;
            tokio::time::sleep(Duration::from_millis(after.unwrap_or(0))).await;
        }
        // A fold reports the titles of its own hits; one fold may cover only some.
        let titles = || {
            let top = portal.node.get("/v1/sites/a/pages?period=total").json();
            let title = |page: &serde_json::Value| (page["page"].as_str().unwrap().to_owned(), page["title"].clone());
            top["pages"].as_array().unwrap().iter().map(title).collect::<BTreeMap<_, _>>()
        };
        browser.goto(&portal.url("/bon")).await.unwrap();
        portal.counts(moves.len() as i64 + 2).await;
        // The last title arrives by itself.
        browser.goto(&portal.url("/mot?cuoi")).await.unwrap();
        browser.execute("history.pushState(null, '', '/cuoi'); document.title = 'Cuối'", Vec::new()).await.unwrap();
        let expected = serde_json::json!({
            "/mot": "Một trang", "/som": "Bài /som", "/muon": "Bài /muon", "/khong": null, "/qua-muon": null, "/sau": null,
            "/bon": "Bài bốn", "/cuoi": "Cuối",
        });
        // One of two workers may answer from a copy up to a second old.
        let shown = || serde_json::to_value(titles()).unwrap();
        until(&format!("the titles are {expected}"), LONG * 2, || shown() == expected);
    });
}

#[test]
fn a_new_page_of_a_single_page_site_counts_when_the_reader_goes_on_before_it_has_a_title() {
    let portal = Portal::start(&[("/mot", &SINGLE.replace("BEFORE", "")), ("/trong", EMPTY)]);
    portal.run(async |portal, browser| {
        // The first page may wait for its title too.
        browser.goto(&portal.url("/mot")).await.unwrap();
        let on = "history.pushState(null, '', '/hai'); history.pushState(null, '', '/ba'); location.href = '/trong'";
        browser.execute(on, Vec::new()).await.unwrap();
        browser.wait().at_most(LONG).for_url(&portal.url("/trong").parse().unwrap()).await.unwrap();
        portal.counts(3).await;
        portal.read(&[("/mot", 1), ("/hai", 1), ("/ba", 1), ("/trong", 0)]);
        browser.goto(&portal.url("/mot")).await.unwrap();
        browser.goto(&portal.url("/trong")).await.unwrap();
        portal.counts(4).await;
        portal.read(&[("/mot", 2), ("/ba", 1)]);
    });
}

#[test]
fn where_the_service_fails_the_page_stays_as_it_was() {
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let content = "<p>Nội dung</p><div data-thongke>Chờ</div>";
    let page = |script: &str| {
        format!(
            "{EMPTY}<body>{content}<script>window.errors = []; onerror = e => errors.push(e); onunhandledrejection = e => errors.push(e.reason)</script><script src=\"{script}\" data-site=\"a\"></script>"
        )
    };
    // The script's service disappears, answers nonsense, or refuses.
    let broken = |replacement: &str| {
        format!(
            "{EMPTY}<body>{content}<script>window.errors = []; onerror = e => errors.push(e); onunhandledrejection = e => errors.push(e.reason); window.fetch = () => {replacement}</script><script src=\"SCRIPT\" data-site=\"a\"></script>"
        )
    };
    let pages = [
        ("/khong-co", page(&format!("http://{gone}/thongke.js"))),
        ("/mat-mang", broken("Promise.reject(new TypeError('Failed to fetch'))")),
        ("/vo-nghia", broken("Promise.resolve(new Response('<html>'))")),
        ("/la", broken("Promise.resolve(new Response('{\"figures\":[]}'))")),
        // Before the page is parsed to its end.
        ("/la-som", broken("Promise.resolve({json: () => ({figures: []})})")),
        ("/tu-choi", broken("Promise.resolve(new Response('{\"status\":503}', {status: 503}))")),
    ];
    let pages: Vec<_> = pages.iter().map(|(path, html)| (*path, html.as_str())).collect();
    let paths: Vec<_> = pages.iter().map(|(path, _)| *path).collect();
    let portal = Portal::start(&pages);
    portal.run(async |portal, browser| {
        for path in paths {
            browser.goto(&portal.url(path)).await.unwrap();
            tokio::time::sleep(Duration::from_millis(300)).await;
            let state = "return [document.querySelector('[data-thongke]').outerHTML, document.querySelectorAll('p, div').length, errors.length]";
            let state = browser.execute(state, Vec::new()).await.unwrap();
            assert_eq!(state, serde_json::json!(["<div data-thongke=\"\">Chờ</div>", 2, 0]), "{path}");
        }
        assert_eq!(portal.received(), 0.0);
    });
}

#[test]
fn a_steered_browser_says_so_and_is_not_counted() {
    let portal = Portal::start(&[("/bai", TAG)]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let headless = portal.driver.browser_with(&[]).await;
        headless.goto(&portal.url("/bai")).await.unwrap();
        // The reader sees the figures all the same.
        assert_eq!(shown(&headless).await, "0");
        headless.close().await.unwrap();
        let disguised = portal.driver.browser_with(&["--user-agent=Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"]).await;
        disguised.goto(&portal.url("/bai")).await.unwrap();
        assert_eq!(shown(&disguised).await, "0");
        disguised.close().await.unwrap();
    });
    let kinds: Vec<_> = portal
        .node
        .admin_get("/sites/a/bots")
        .json()
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["kind"].clone())
        .collect();
    assert_eq!(kinds, ["browser-automation", "webdriver"]);
    portal.node.stop();
}

const SAYS: &str = r#"<!DOCTYPE html><title>Bài</title><body><link rel="canonical" href="CANONICAL">
    <span class="own" data-thongke-page>–</span><script async src="SCRIPT" data-site="a" MORE></script>"#;

fn saying(canonical: &str, more: &str) -> String {
    SAYS.replace("CANONICAL", canonical).replace("MORE", more)
}

#[test]
fn a_page_says_its_address_and_the_tags_own_word_wins() {
    let says = saying("/bai-1?utm_source=a", "");
    let home = saying("/", "");
    let tag = saying("/bai-2", "data-page=\"/tin/bai-3?id=1\"");
    let portal = Portal::start(&[("/xem", &says), ("/mau", &home), ("/tag", &tag)]);
    portal.run(async |portal, browser| {
        let own = async |views: &str| {
            let own = format!("//span[@class='own'][.='{views}']");
            browser.wait().at_most(LONG).for_element(Locator::XPath(&own)).await.expect("the article shows its views");
        };
        for (at, path) in ["/xem?so=1", "/xem?so=2", "/mau", "/tag"].into_iter().enumerate() {
            browser.goto(&portal.url(path)).await.unwrap();
            portal.counts(at as i64 + 1).await;
            own(if at == 1 { "2" } else { "1" }).await;
        }
        portal.read(&[("/bai-1", 2), ("/xem?so=1", 0), ("/", 0), ("/mau", 1), ("/tin/bai-3?id=1", 1), ("/bai-2", 0)]);
        let metrics = portal.node.admin_get("/metrics").body;
        assert!(metrics.contains("thongke_canonical_ignored_total{reason=\"home\"} 1\n"), "{metrics}");
    });
}

#[test]
fn a_single_page_sites_canonical_address_counts_only_where_it_changed() {
    let portal = Portal::start(&[("/mot", &saying("/mot-a", "data-spa"))]);
    portal.run(async |portal, browser| {
        browser.goto(&portal.url("/mot")).await.unwrap();
        portal.counts(1).await;
        let changed = "document.querySelector('link').href = '/ba-a'; history.pushState(null, '', '/ba')";
        for (at, script) in ["history.pushState(null, '', '/hai')", changed].into_iter().enumerate() {
            browser.execute(script, Vec::new()).await.unwrap();
            portal.counts(at as i64 + 2).await;
        }
        portal.read(&[("/mot-a", 1), ("/mot", 0), ("/hai", 1), ("/ba-a", 1), ("/ba", 0)]);
    });
}

#[test]
fn a_route_behind_the_hash_is_a_page_where_the_tag_says_so() {
    let spa = SINGLE.replace("BEFORE", "<span class=\"own\" data-thongke-page>–</span>");
    let hash = spa.replace("data-spa", "data-spa=\"hash\"");
    let portal = Portal::start(&[("/app", &hash), ("/mot", &spa)]);
    portal.run(async |portal, browser| {
        browser.goto(&portal.url("/app#/tin/1")).await.unwrap();
        let own = Locator::XPath("//span[@class='own'][.='1']");
        browser.wait().at_most(LONG).for_element(own).await.expect("the route shows its views");
        let moves = [("'#/tin/2?fbclid=1'", 2), ("'#cuoi'", 3), ("'#giua'", 3), ("'#!/tin/3'", 4)];
        for (hash, hits) in moves {
            browser.execute(&format!("location.hash = {hash}"), Vec::new()).await.unwrap();
            tokio::time::sleep(Duration::from_millis(700)).await;
            portal.counts(hits).await;
        }
        portal.read(&[("/app%23/tin/1", 1), ("/app%23/tin/2", 1), ("/app%23!/tin/3", 1), ("/app", 1)]);
        browser.goto(&portal.url("/mot#/tin/1")).await.unwrap();
        portal.counts(5).await;
        portal.read(&[("/mot", 1)]);
    });
}

const ARTICLE: &str = r#"<!DOCTYPE html><title>TITLE</title><body><div data-thongke></div>
    Lượt xem: <span class="own" data-thongke-page>–</span><script async src="SCRIPT" data-site="a"></script>"#;

const LIST: &str = r#"<!DOCTYPE html><title>Tin</title><body><div data-thongke></div>
    <span data-thongke-page="/a?id=1&amp;fbclid=2">–</span><span data-thongke-page="/b">–</span><span data-thongke-page>–</span>
    <span data-thongke-page="/chua-ai-doc">–</span>
    <ol data-thongke-top="limit=2"><li>–</li></ol>
    <img src="SERVICE/v1/sites/a/chart.svg?by=day&amp;last=7" alt="">
    <div id="english" data-thongke data-query="language=en&amp;figures=today,total"></div>
    <script async src="SCRIPT" data-site="a"></script>"#;

#[test]
fn views_of_many_pages_the_most_read_and_a_chart_come_to_a_list_page() {
    let marked = ARTICLE.replace("TITLE", "&lt;b onclick=x&gt;Đậm&lt;/b&gt;");
    let plain = ARTICLE.replace("TITLE", "Bài hai");
    let portal = Portal::start(&[("/a", &marked), ("/b", &plain), ("/tin", LIST)]);
    portal.run(async |portal, browser| {
        for (at, path) in ["/a?id=1&utm_source=x", "/b", "/a?id=1#cuoi"].into_iter().enumerate() {
            // A new fragment alone would load nothing.
            browser.goto("about:blank").await.unwrap();
            browser.goto(&portal.url(path)).await.unwrap();
            portal.counts(at as i64 + 1).await;
        }
        let own = browser.wait().at_most(LONG).for_element(Locator::XPath("//span[@class='own'][.='2']")).await;
        own.expect("the article shows its views");
        // A title is reported once its hit is folded.
        let top = || portal.node.get("/v1/sites/a/pages?limit=2").json()["pages"].clone();
        until("titles are known", LONG * 2, || top()[0]["title"].is_string() && top()[1]["title"].is_string());
        browser.goto(&portal.url("/tin")).await.unwrap();
        browser.wait().at_most(LONG).for_element(Locator::Css("ol .thongke-value")).await.unwrap();
        browser.wait().at_most(LONG).for_element(Locator::Css("#english .thongke-value")).await.unwrap();
        let shown = "return document.images[0].complete && document.images[0].naturalWidth > 0 && \
            [].map.call(document.querySelectorAll('[data-thongke-page]'), view => view.textContent).indexOf('–') < 0";
        while browser.execute(shown, Vec::new()).await.unwrap() != true {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let views = "return [].map.call(document.querySelectorAll('[data-thongke-page]'), view => view.textContent)";
        assert_eq!(browser.execute(views, Vec::new()).await.unwrap(), serde_json::json!(["2", "1", "1", "0"]));
        let list =
            "return [].map.call(document.querySelectorAll('ol li'), row => [row.textContent, row.firstChild.href])";
        let expected =
            [["<b onclick=x>Đậm</b> 2".into(), portal.url("/a?id=1")], ["Bài hai 1".into(), portal.url("/b")]];
        assert_eq!(browser.execute(list, Vec::new()).await.unwrap(), serde_json::json!(expected));
        let english = browser.find(Locator::Css("#english")).await.unwrap().text().await.unwrap();
        assert_eq!(english.lines().collect::<Vec<_>>(), ["Visit statistics", "Today : 4", "Total : 4"]);
        let requests =
            "return performance.getEntriesByType('resource').filter(entry => /pages.figures/.test(entry.name)).length";
        assert_eq!(browser.execute(requests, Vec::new()).await.unwrap(), 1);
        portal.counts(4).await;
    });
}

/// A reader's hit, sent without a browser.
fn read_elsewhere(portal: &Portal, page: &str) {
    let reader = "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
    let hit = serde_json::json!({"site": "a", "url": portal.url(page)}).to_string();
    assert_eq!(portal.node.hit_with(&[reader], hit).header("thongke-hit"), Some("counted"));
}

#[test]
fn a_long_list_of_long_addresses_is_filled_whatever_stands_among_them() {
    let long = |number: usize| format!("/tin-tức/{}{number}?id=1", "người-dân-và-chính-quyền-".repeat(10));
    let mut list: Vec<_> = (0..120).map(|number| (long(number), "0")).collect();
    list[110].1 = "2";
    list[7] = ("https://elsewhere.example/bai".to_owned(), "–");
    list[60] = ("mailto:ai-do@example.vn".to_owned(), "–");
    list[61] = ("http://[".to_owned(), "–");
    list[62] = (format!("http://localhost:PORT{}#cuoi", long(110)), "2");
    list[63] = ("ngan?id=1&amp;fbclid=%23".to_owned(), "1");
    list[64] = ("/c%E9".to_owned(), "1");
    list[65] = ("/a+b%2Fc%2541".to_owned(), "1");
    // Longer than any address may be.
    list[66] = (format!("/{}", "x".repeat(7_000)), "–");
    let spans: Vec<_> = list.iter().map(|(page, _)| format!("<span data-thongke-page=\"{page}\">–</span>")).collect();
    let script = r#"<script async src="SCRIPT" data-site="a"></script>"#;
    let page = format!("<!DOCTYPE html><title>Tin</title><body>{}{script}", spans.concat());
    let portal = Portal::start(&[("/tin", &page)]);
    for page in [&long(110), &long(110), "/ngan?id=1", "/c%E9", "/a+b%2Fc%2541"] {
        read_elsewhere(&portal, page);
    }
    portal.run(async |portal, browser| {
        browser.goto(&portal.url("/tin")).await.unwrap();
        let views = "return [].map.call(document.querySelectorAll('[data-thongke-page]'), view => view.textContent)";
        let expected = serde_json::json!(list.iter().map(|(_, views)| views).collect::<Vec<_>>());
        let begun = std::time::Instant::now();
        while browser.execute(views, Vec::new()).await.unwrap() != expected && begun.elapsed() < LONG {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(browser.execute(views, Vec::new()).await.unwrap(), expected);
    });
}

#[test]
fn a_link_of_the_most_read_stays_on_the_portal_and_a_cut_address_is_none() {
    let list = r#"<!DOCTYPE html><title>Tin</title><base href="http://elsewhere.example/"><body>
        <ol data-thongke-top="period=total"></ol><script async src="SCRIPT" data-site="a"></script>"#;
    let portal = Portal::start(&[("/tin", list)]);
    let pages = ["//elsewhere.example/x", "/tin-tức/bài?id=1", &format!("/{}", "x".repeat(600))];
    for (at, page) in pages.into_iter().enumerate() {
        (at..3).for_each(|_| read_elsewhere(&portal, page));
    }
    portal.run(async |portal, browser| {
        browser.goto(&portal.url("/tin")).await.unwrap();
        browser.wait().at_most(LONG).for_element(Locator::Css("ol .thongke-value")).await.unwrap();
        let links = "return [].map.call(document.querySelectorAll('ol a'), link => link.href && decodeURI(link.href))";
        let links = browser.execute(links, Vec::new()).await.unwrap();
        assert_eq!(links.as_array().unwrap()[..2], [portal.url(&pages[0][1..]), portal.url(pages[1])]);
        assert!(links.as_array().unwrap().contains(&"".into()), "{links}");
    });
}

#[test]
fn an_address_or_a_title_that_is_too_long_or_broken_costs_no_hit() {
    let page = format!("<!DOCTYPE html><title>{}</title><body><div data-thongke></div>", "\u{1ebf}".repeat(1_000));
    let script = r#"<script async src="SCRIPT" data-site="a"></script>"#;
    let broken = format!("{page}<script>document.title = 'Bài \\ud83d này'</script>{script}");
    let portal = Portal::start(&[("/bai", &format!("{page}{script}")), ("/hong", &broken)]);
    portal.run(async |portal, browser| {
        for (at, path) in ["/bai?id=7&tukhoa=", "/hong?"].into_iter().enumerate() {
            browser.goto(&format!("{}{}", portal.url(path), "a".repeat(3_700))).await.unwrap();
            assert_eq!(shown(browser).await, (at + 1).to_string());
            portal.counts(at as i64 + 1).await;
        }
        portal.read(&[("/bai?id=7", 1), ("/hong", 1)]);
    });
}

#[test]
fn a_page_in_another_language_asks_for_its_words_with_its_hit() {
    let english = TAG.replace("data-site", "data-query=\"language=en\" data-site");
    let wrong = TAG.replace("data-site", "data-query=\"language=fr\" data-site");
    let portal = Portal::start(&[("/en", &english), ("/fr", &wrong)]);
    portal.run(async |portal, browser| {
        browser.goto(&portal.url("/en")).await.unwrap();
        assert_eq!(shown(browser).await, "1");
        let text = browser.find(Locator::Css("[data-thongke]")).await.unwrap().text().await.unwrap();
        assert_eq!(text.lines().collect::<Vec<_>>(), ["Visit statistics", "Total : 1"]);
        let requests = "return performance.getEntriesByType('resource').filter(entry => /v1/.test(entry.name)).length";
        assert_eq!(browser.execute(requests, Vec::new()).await.unwrap(), 1);
        // An unknown language: the view counts, and the page stays unchanged.
        browser.goto(&portal.url("/fr")).await.unwrap();
        portal.counts(2).await;
        assert_eq!(browser.find(Locator::Css("body")).await.unwrap().text().await.unwrap(), "");
    });
}

#[test]
fn a_title_that_is_cut_within_a_character_costs_no_hit() {
    // 200 units of UTF-16 end in the middle of the emoji.
    let page = format!("<!doctype html><title>{}\u{1f600} and on</title>{TAG}", "a".repeat(199));
    let portal = Portal::start(&[("/bai", &page)]);
    portal.run(async |portal, browser| {
        browser.goto(&portal.url("/bai")).await.unwrap();
        assert_eq!(shown(browser).await, "1");
        portal.counts(1).await;
    });
}

#[test]
fn a_reader_who_saves_data_is_counted_once_and_sees_the_figures() {
    let portal = Portal::start(&[("/bai", TAG)]);
    portal.run(async |portal, browser| {
        let saving = serde_json::json!({"dataSaverEnabled": true});
        let command = DevTools { command: "Emulation.setDataSaverOverride", parameters: saving };
        browser.issue_cmd(command).await.unwrap();
        browser.goto(&portal.url("/bai")).await.unwrap();
        let saves = browser.execute("return navigator.connection.saveData", Vec::new()).await.unwrap();
        assert_eq!(saves, true, "this browser does not save data");
        assert_eq!(shown(browser).await, "1");
        portal.counts(1).await;
    });
}

#[test]
fn where_the_reader_blocks_the_service_nothing_is_counted_and_the_page_stays() {
    let page = TAG.replace(
        "<div",
        "<script>window.errors = []; addEventListener('error', e => errors.push(e.message)); \
         onunhandledrejection = e => errors.push(e.reason)</script><div",
    );
    let portal = Portal::start(&[("/bai", &page)]);
    portal.run(async |portal, browser| {
        let enable = DevTools { command: "Network.enable", parameters: serde_json::json!({}) };
        browser.issue_cmd(enable).await.unwrap();
        for blocked in ["*/v1/*", "*/thongke.js"] {
            let parameters = serde_json::json!({"urls": [blocked]});
            browser.issue_cmd(DevTools { command: "Network.setBlockedURLs", parameters }).await.unwrap();
            browser.goto(&portal.url("/bai")).await.unwrap();
            tokio::time::sleep(Duration::from_millis(500)).await;
            let state = "return [document.querySelector('[data-thongke]').outerHTML, errors.length]";
            let state = browser.execute(state, Vec::new()).await.unwrap();
            assert_eq!(state, serde_json::json!(["<div data-thongke=\"\"></div>", 0]), "{blocked}");
        }
        assert_eq!(portal.received(), 0.0);
        // Without the blocking the hit counts: the blocking was the cause.
        let parameters = serde_json::json!({"urls": []});
        browser.issue_cmd(DevTools { command: "Network.setBlockedURLs", parameters }).await.unwrap();
        browser.goto(&portal.url("/bai")).await.unwrap();
        portal.counts(1).await;
    });
}

#[test]
fn where_the_portals_policy_blocks_the_service_nothing_is_counted_and_the_page_stays() {
    let policies = ["script-src 'unsafe-inline'", "connect-src 'none'"];
    let page = |policy: &str| {
        TAG.replace("<title>", &format!("<meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\"><title>"))
            .replace("<div", "<script>window.errors = []; onerror = e => errors.push(e); onunhandledrejection = e => errors.push(e.reason)</script><div")
    };
    let portal = Portal::start(&[("/ma", &page(policies[0])), ("/ket-noi", &page(policies[1]))]);
    portal.run(async |portal, browser| {
        for path in ["/ma", "/ket-noi"] {
            browser.goto(&portal.url(path)).await.unwrap();
            tokio::time::sleep(Duration::from_millis(300)).await;
            let state = "return [document.querySelector('[data-thongke]').outerHTML, errors.length]";
            let state = browser.execute(state, Vec::new()).await.unwrap();
            assert_eq!(state, serde_json::json!(["<div data-thongke=\"\"></div>", 0]), "{path}");
        }
        assert_eq!(portal.received(), 0.0);
    });
}
