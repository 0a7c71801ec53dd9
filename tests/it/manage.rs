//! The editors' pages, on a running node and in a real browser.

use std::path::Path;
use std::time::Duration;

use fantoccini::{Client, Locator};
use tempfile::TempDir;

use crate::demo_page::{axe, findings};
use crate::driver::Driver;
use crate::node::{Answer, Node, ask, until};

const SITES: &str = r#"
[sites.portal]
name = "Cổng <thông tin> & bạn"
origins = ["https://portal.vn", "http://localhost:*"]
figures = ["online", "today", "total"]
vouching_networks = 1
[sites.quiet]
origins = ["https://quiet.vn"]
"#;
const PAGES: [&str; 7] = [
    "/manage",
    "/manage/sites/portal",
    "/manage/sites/portal?range=year&show=uncounted&lang=en",
    "/manage/sites/portal/page?page=/tin-tuc/a",
    "/manage/sites/portal/live",
    "/manage/sites/portal/tag",
    "/manage/sites/portal/sources",
];
const LIMIT: Duration = Duration::from_secs(30);

fn start(directory: &Path, top: &str) -> Node {
    let path = directory.join("thongke.toml");
    std::fs::write(&path, format!("{top}\n{SITES}")).unwrap();
    Node::start(&directory.join("data"), &["--config", path.to_str().unwrap()])
}

/// A node with an import of two years ago, and hits of today.
fn filled(directory: &Path) -> Node {
    let node = start(directory, "");
    let old = "period,page,hits\n2024,,7654\n2024-06,,1234\n2024-06-17,,200\n2024-06-18,,34\ntotal,,9000\n";
    let fields = ["Content-Type: text/csv"];
    assert_eq!(ask(&node.admin, "POST", "/sites/portal/import?source=old", &fields, old).status, 200);
    for (page, title, hits) in
        [("/tin-tuc/a", "Tin <b>A</b>", 3), ("/tin-tuc/b", "", 2), ("/gioi-thieu", "Giới thiệu", 1)]
    {
        let hit = serde_json::json!({"site": "portal", "url": format!("https://portal.vn{page}"), "title": title});
        for _ in 0..hits {
            assert_eq!(node.post("/v1/hit", &hit.to_string()).header("thongke-hit"), Some("counted"));
        }
    }
    let bot = ask(
        &node.public,
        "POST",
        "/v1/hit",
        &["User-Agent: Googlebot/2.1"],
        r#"{"site":"portal","url":"https://portal.vn/"}"#,
    );
    assert_eq!(bot.header("thongke-hit"), Some("bot"));
    until("the pages are listed", LIMIT, || node.get("/v1/sites/portal/pages").json()["pages"][2]["title"].is_string());
    node
}

fn vietnamese(node: &Node, path: &str) -> Answer {
    ask(&node.admin, "GET", path, &["Accept-Language: vi"], "")
}

#[test]
fn the_pages_are_where_the_configuration_says() {
    for (dashboard, on_admin) in
        [("", 200), ("dashboard = \"admin\"", 200), ("dashboard = \"public\"", 200), ("dashboard = \"off\"", 404)]
    {
        let directory = TempDir::new().unwrap();
        let node = start(directory.path(), dashboard);
        for path in ["/manage", "/manage/sites/portal", "/manage/style.css"] {
            assert_eq!(node.admin_get(path).status, on_admin, "{dashboard} {path}");
            if !dashboard.contains("public") {
                assert_eq!(node.get(path).problem(404), node.get("/elsewhere").problem(404), "{dashboard}");
            }
        }
        assert_eq!(ask(&node.admin, "GET", "/manage", &["Host: evil.vn"], "").status, 403);
        node.stop();
    }
}

#[test]
fn each_page_is_private_and_has_neither_script_nor_style_of_its_own() {
    let directory = TempDir::new().unwrap();
    let node = filled(directory.path());
    for path in PAGES.into_iter().chain(["/manage/sites/none", "/manage/none"]) {
        let page = node.admin_get(path);
        let status = if path.ends_with("none") { 404 } else { 200 };
        assert_eq!((page.status, page.header("content-type")), (status, Some("text/html; charset=utf-8")), "{path}");
        let policy = page.header("content-security-policy").unwrap();
        for rule in [
            "default-src 'none'",
            "style-src 'self'",
            "script-src 'self'",
            "form-action 'self'",
            "frame-ancestors 'none'",
        ] {
            assert!(policy.contains(rule), "{policy}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
        for (name, value) in [
            ("cache-control", "no-store"),
            ("x-robots-tag", "noindex"),
            ("referrer-policy", "same-origin"),
            ("x-content-type-options", "nosniff"),
        ] {
            assert_eq!(page.header(name), Some(value), "{path}");
        }
        assert!(
            !page.body.contains("<style") && !page.body.contains(" style=") && !page.body.contains("<script>"),
            "{path}"
        );
        assert!(!page.body.contains("<thông tin>") && !page.body.contains("<b>A</b>"), "{path}: markup is text");
    }
    for (path, kind) in [("style.css", "text/css"), ("manage.js", "text/javascript"), ("icon.svg", "image/svg+xml")] {
        let asset = node.admin_get(&format!("/manage/{path}"));
        assert!(asset.status == 200 && asset.header("content-type").unwrap().starts_with(kind), "{}", asset.head);
        assert!(asset.header("cache-control").unwrap().starts_with("private"));
    }
    assert_eq!(node.admin_get("/manage/").header("location"), Some("/manage"));
    assert_eq!(ask(&node.admin, "POST", "/manage", &[&format!("Origin: http://{}", node.admin)], "x").status, 405);
    node.stop();
}

#[test]
fn the_pages_show_the_nodes_figures_in_both_languages() {
    let directory = TempDir::new().unwrap();
    let node = filled(directory.path());
    let overview = vietnamese(&node, "/manage").body;
    assert!(
        overview.contains("<html lang=\"vi\">") && overview.contains("data-live=\"today:portal\">6<"),
        "{overview}"
    );
    assert!(
        overview.contains("Cổng &#60;thông tin&#62; &#38; bạn") && overview.contains("Không có lượt nào trong 24 giờ")
    );
    let found = vietnamese(&node, "/manage?q=QUI").body;
    assert!(found.contains("/manage/sites/quiet") && !found.contains("/manage/sites/portal"), "{found}");
    assert_eq!(node.admin_get("/manage/now.json").json()["today:portal"], "6");
    let sorted = node.admin_get("/manage?sort=-today&lang=en").body;
    assert!(sorted.find("sites/portal").unwrap() < sorted.find("sites/quiet").unwrap());
    assert!(
        sorted.contains("<html lang=\"en\">")
            && sorted.contains("sites/portal?lang=en")
            && sorted.contains("Last visit")
    );

    let site = vietnamese(&node, "/manage/sites/portal").body;
    for shown in ["data-live=\"today\">6<", "<b>6</b>", "Tin &#60;b&#62;A&#60;/b&#62;", "/tin-tuc/b", "Máy tìm kiếm"]
    {
        assert!(site.contains(shown), "{shown}: {site}");
    }
    let folder = vietnamese(&node, "/manage/sites/portal?under=tin-tuc").body;
    assert!(folder.contains("/tin-tuc/b") && !folder.contains("Giới thiệu"), "{folder}");
    let text = vietnamese(&node, "/manage/sites/portal?q=GI%E1%BB%9AI").body;
    assert!(!text.contains("/tin-tuc/b") && text.contains("Giới thiệu"), "{text}");
    // The year knows more than its months.
    let year = vietnamese(&node, "/manage/sites/portal?range=year&on=2024-12-31").body;
    assert!(year.contains("<b>7.654</b>") && year.contains("6.420 lượt chỉ biết theo tháng hoặc năm"), "{year}");
    let days = node.admin_get("/manage/sites/portal?from=2024-06-17&to=2024-06-18&lang=en").body;
    assert!(days.contains("<b>234</b>") && days.contains("17 Jun 2024 – 18 Jun 2024"), "{days}");
    assert_eq!(node.admin_get("/manage/sites/portal?from=17/6/2024").status, 400);

    let page = vietnamese(&node, "/manage/sites/portal/page?page=/tin-tuc/a").body;
    assert!(page.contains("<dd>3</dd>") && page.contains("href=\"https://portal.vn/tin-tuc/a\""), "{page}");
    assert_eq!(node.admin_get("/manage/sites/portal/page").status, 400);
    let tag = vietnamese(&node, "/manage/sites/portal/tag?address=dem.vn/tk").body;
    assert!(tag.contains("src=&#34;https://dem.vn/tk/thongke.js&#34; data-site=&#34;portal&#34;"), "{tag}");

    // Hits show from the first look on.
    let rows = || node.admin_get("/manage/sites/portal/live.json?lang=en").json();
    assert_eq!(rows(), serde_json::json!([]));
    node.post("/v1/hit", r#"{"site":"portal","url":"https://portal.vn/moi"}"#);
    node.post("/v1/hit", r#"{"site":"quiet","url":"https://quiet.vn/khac"}"#);
    assert_eq!(
        (rows()[0]["page"].as_str(), rows()[0]["counts"].as_str(), rows().as_array().unwrap().len()),
        (Some("/moi"), Some("yes"), 1)
    );
    node.stop();
}

#[test]
fn refused_pages_have_a_mark_and_are_listed_with_what_to_do() {
    let directory = TempDir::new().unwrap();
    let node = start(directory.path(), "trusted_proxies = [\"127.0.0.1\"]");
    let refuse = |site: &str, network: u8| {
        let hit = format!(r#"{{"site":"{site}","url":"https://www.portal.vn/tin?a=b"}}"#);
        let client = format!("X-Forwarded-For: 113.160.{network}.7");
        assert!(ask(&node.public, "POST", "/v1/hit", &[&client], &hit).status >= 403);
    };
    let marked = || vietnamese(&node, "/manage").body.matches("bị từ chối").count() > 0;
    refuse("portal", 1);
    assert!(!marked(), "one network may be a stranger's");
    (2..9).for_each(|network| refuse("portal", network));
    refuse("Portal", 1);
    assert!(marked());
    assert!(node.admin_get("/manage?lang=en").body.contains("Visits are refused"));
    let live = vietnamese(&node, "/manage/sites/portal/live").body;
    assert!(live.contains("<td>https://www.portal.vn/tin</td><td class=\"number\">8</td>"), "{live}");
    assert!(live.contains("thêm vào origins") && live.contains("data-site"), "{live}");
    assert!(vietnamese(&node, "/manage/sites/quiet/live").body.contains("Không có lượt nào bị từ chối"));
    node.stop();
}

#[test]
fn an_editor_takes_an_import_back_by_a_form_of_the_pages_own() {
    let directory = TempDir::new().unwrap();
    let node = filled(directory.path());
    let path = "/manage/sites/portal/sources/forget";
    let form = "Content-Type: application/x-www-form-urlencoded";
    let post = |fields: &[&str], body: &str| ask(&node.admin, "POST", path, fields, body);
    assert!(vietnamese(&node, "/manage/sites/portal/sources").body.contains("9.000"));
    for foreign in
        [&[form][..], &[form, "Origin: https://evil.vn"], &[form, "Origin: null"], &["Origin: http://localhost"]]
    {
        assert!([403, 415].contains(&post(foreign, "name=old").status), "{foreign:?}");
    }
    let own = [form, "Host: localhost", &format!("Origin: http://{}", node.admin)];
    assert_eq!(post(&own, "name=old").status, 403, "a form of another page has no token of the session");
    let page = vietnamese(&node, "/manage/sites/portal/sources").body;
    let token = page.split("name=\"form_token\" value=\"").nth(1).unwrap().split('"').next().unwrap();
    let post = |fields: &str| post(&own, &format!("form_token={token}&{fields}"));
    assert_eq!((post("name=none").status, post("").status), (404, 400));
    assert_eq!(node.admin_get("/sites/portal/figures?figures=total").figure("total"), 9_006);
    let done = post("name=old");
    assert_eq!((done.status, done.header("location")), (303, Some("/manage/sites/portal/sources?forgotten=old")));
    assert_eq!(node.admin_get("/sites/portal/figures?figures=total").figure("total"), 6);
    until("the log says so", LIMIT, || node.log().contains("taken back on the editors' page"));
    node.stop();
}

#[test]
fn with_admin_tokens_the_pages_need_one() {
    let directory = TempDir::new().unwrap();
    let (write, read) = ("0123456789abcdef-write", "0123456789abcdef-read");
    std::fs::write(directory.path().join("write"), write).unwrap();
    std::fs::write(directory.path().join("read"), read).unwrap();
    let node = start(directory.path(), "admin_token_file = \"write\"\nadmin_read_token_file = \"read\"");
    let status = |fields: &[&str]| ask(&node.admin, "GET", "/manage/sites/portal", fields, "").status;
    let bearer = |token: &str| format!("Authorization: Bearer {token}");
    assert_eq!((status(&[]), status(&[&bearer("0123456789abcdef-wrong")])), (401, 401));
    assert_eq!((status(&[&bearer(write)]), status(&[&bearer(read)])), (200, 200));
    node.stop();
}

async fn goto(browser: &Client, node: &Node, path: &str) {
    browser.goto(&format!("http://{}{path}", node.admin)).await.unwrap();
    browser.wait().for_element(Locator::Css("main h1")).await.unwrap();
}

#[test]
fn axe_finds_nothing_and_figures_refresh_in_place() {
    let directory = TempDir::new().unwrap();
    let node = filled(directory.path());
    let (driver, axe) = (Driver::start(), axe());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        for (option, width) in
            [("--blink-settings=preferredColorScheme=1", 1_280), ("--blink-settings=preferredColorScheme=0", 360)]
        {
            let browser = driver.persons_browser_with(&[option]).await;
            browser.set_window_size(width, 900).await.unwrap();
            let others = ["/manage/none", "/manage/login", "/manage/sites/portal/shares"];
            for path in PAGES.into_iter().chain(others) {
                goto(&browser, &node, path).await;
                browser
                    .execute("document.querySelectorAll('details').forEach(part => { part.open = true; })", Vec::new())
                    .await
                    .unwrap();
                browser.execute(&axe, Vec::new()).await.unwrap();
                assert_eq!(findings(&browser).await, Vec::<String>::new(), "{option} {path}");
                let overflow = "return document.documentElement.scrollWidth - document.documentElement.clientWidth";
                assert_eq!(
                    browser.execute(overflow, Vec::new()).await.unwrap(),
                    0,
                    "{width} {path}: wider than the window"
                );
            }
            browser.close().await.unwrap();
        }
        let browser = driver.browser().await;
        goto(&browser, &node, "/manage/sites/portal").await;
        let today = async || browser.find(Locator::Css("[data-live=today]")).await.unwrap().text().await.unwrap();
        assert_eq!(today().await, "6");
        node.post("/v1/hit", r#"{"site":"portal","url":"https://portal.vn/moi"}"#);
        // As when the reader comes back to the tab.
        browser.execute("document.dispatchEvent(new Event('visibilitychange'))", Vec::new()).await.unwrap();
        let end = tokio::time::Instant::now() + LIMIT;
        while today().await != "7" {
            assert!(tokio::time::Instant::now() < end);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        browser.close().await.unwrap();
        // Without scripts: search, open, choose a range.
        let plain = driver.browser_with(&["--blink-settings=scriptEnabled=false"]).await;
        goto(&plain, &node, "/manage?q=portal&lang=en").await;
        plain.find(Locator::Css("tbody th a")).await.unwrap().click().await.unwrap();
        plain.wait().for_element(Locator::Css(".cards")).await.unwrap();
        plain.find(Locator::LinkText("Year")).await.unwrap().click().await.unwrap();
        plain.wait().for_element(Locator::Css(".choice a[aria-current][href*='range=year']")).await.unwrap();
        plain.close().await.unwrap();
    });
    node.stop();
}
