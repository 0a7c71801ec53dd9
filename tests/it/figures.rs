//! Figures, pages, titles, history: the same from a node alone, with a Redis, or with a cluster.

use std::path::Path;
use std::time::Duration;

use chrono::{Days, Months, NaiveDate};
use serde_json::Value;
use tempfile::TempDir;

use crate::node::{Answer, Node, exchange, until};
use crate::redis::{Cluster, Redis};

const LONG: Duration = Duration::from_secs(60);

const SITE: &str = "[sites.demo]\norigins = [\"http://localhost:*\"]\n";

/// Starts a node with further lines for its site, and other options.
fn start(directory: &Path, site: &str, more: &[&str]) -> Node {
    let file = directory.join("thongke.toml");
    std::fs::write(&file, site).unwrap();
    let mut options = vec!["--config", file.to_str().unwrap()];
    options.extend(more);
    Node::start(&directory.join("data"), &options)
}

fn titled(node: &Node, page: &str, title: &str) -> Answer {
    let body = serde_json::json!({"site": "demo", "url": format!("http://localhost{page}"), "title": title});
    node.post("/v1/hit", &body.to_string())
}

fn import(node: &Node, name: &str, csv: &str) {
    let length = csv.len();
    let admin = &node.admin;
    let request = format!(
        "POST /sites/demo/import?source={name} HTTP/1.1\r\nHost: {admin}\r\nContent-Type: text/csv\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{csv}"
    );
    let answer = exchange(admin, request.as_bytes());
    assert_eq!(answer.status, 200, "{}", answer.body);
}

fn get(node: &Node, what: &str) -> Value {
    let answer = node.get(&format!("/v1/sites/demo/{what}"));
    assert_eq!(answer.status, 200, "{what}: {}", answer.body);
    answer.json()
}

fn figure(node: &Node, key: &str) -> i64 {
    get(node, &format!("figures?figures={key}"))["figures"][0]["value"].as_i64().unwrap()
}

/// A page's first figure.
fn views(node: &Node, page: &str, key: &str) -> i64 {
    let pages = get(node, &format!("pages/figures?figures={key}&url=http://localhost{page}"));
    pages["pages"][0]["figures"][0]["value"].as_i64().unwrap()
}

/// The most read pages: page, title and hits.
fn top(node: &Node, query: &str) -> Vec<(String, Option<String>, i64)> {
    let pages = get(node, &format!("pages?{query}"));
    let pages = pages["pages"].as_array().unwrap().iter();
    pages
        .map(|page| {
            (
                page["page"].as_str().unwrap().to_owned(),
                page["title"].as_str().map(str::to_owned),
                page["value"].as_i64().unwrap(),
            )
        })
        .collect()
}

/// Figures that every arrangement of nodes must show.
fn story(nodes: &[Node], keys: impl Fn() -> Vec<String>) {
    let first = &nodes[0];
    let last = nodes.last().unwrap();
    let today = get(first, "figures?figures=today")["figures"][0]["period"].as_str().unwrap().to_owned();
    let date: NaiveDate = today.parse().unwrap();
    let monday =
        date.checked_sub_days(Days::new(u64::from(chrono::Datelike::weekday(&date).num_days_from_monday()))).unwrap();
    let in_last_week = |day: u64| monday.checked_sub_days(Days::new(7 - day)).unwrap();
    let month = |back: u32| date.checked_sub_months(Months::new(back)).unwrap().format("%Y-%m").to_string();
    let last_year = chrono::Datelike::year(&date) - 1;
    let mut old = String::from("period,page,hits\n");
    for day in 0..7 {
        old.push_str(&format!("{},,{}\n", in_last_week(day), 100 + day));
    }
    // Months and years stand by themselves; their periods may overlap the days above.
    old.push_str(&format!("{},,40000\n{last_year},,500000\ntotal,,900000\n", month(1)));
    old.push_str(&format!("total,/cu,7\n{},/cu,5\n{},/am,-3\n", month(0), month(0)));
    import(first, "old", &old);

    for node in nodes {
        for _ in 0..3 {
            assert_eq!(node.hit("/tin-tuc/bai-1").status, 200);
        }
        assert_eq!(titled(node, "/tin-tuc/b%C3%A0i-2/", "<b>Bài</b>\n hai & \"ba\"").status, 200);
    }
    let each = i64::try_from(nodes.len()).unwrap();
    let hits = 4 * each;
    for node in nodes {
        for (key, value) in [
            ("today", hits),
            ("last_week", 721),
            ("last_month", 40_000),
            ("last_year", 500_000),
            ("total", 900_000 + hits),
        ] {
            until(&format!("{key} is {value}"), LONG, || figure(node, key) == value);
        }
        until("the week has today's hits", LONG, || figure(node, "week") == hits);
        // One query may name any figures, in any order.
        let figures = get(node, "figures?figures=last_year,week,today");
        let shown: Vec<_> = figures["figures"].as_array().unwrap().iter().map(|figure| figure["key"].clone()).collect();
        assert_eq!(shown, ["last_year", "week", "today"]);
        until("a page has its views", LONG, || views(node, "/tin-tuc/bai-1", "total") == 3 * each);
        for key in ["today", "week", "month"] {
            assert_eq!(views(node, "/tin-tuc/bai-1", key), 3 * each, "{key}");
        }
        until("old views count", LONG, || views(node, "/cu", "total") == 7);
        let month_query = format!("period={}&limit=3", month(0));
        let expected = [
            ("/cu", None, 5),
            ("/tin-tuc/bai-1", None, 3 * each),
            ("/tin-tuc/bài-2", Some("<b>Bài</b> hai & \"ba\""), each),
        ];
        let mut expected: Vec<_> =
            expected.into_iter().map(|(page, title, hits)| (page.to_owned(), title.map(str::to_owned), hits)).collect();
        expected.sort_by_key(|(_, _, hits)| std::cmp::Reverse(*hits));
        until("the most read are known", LONG, || top(node, &month_query) == expected);
        until("the most read have links that open", LONG, || {
            let links = ["/cu", "/tin-tuc/bai-1", "/tin-tuc/b%C3%A0i-2/"];
            links.iter().all(|link| {
                get(node, &format!("pages?{month_query}"))["pages"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .any(|page| page["link"] == *link)
            })
        });
        assert_eq!(top(node, "period=total&limit=1").len(), 1);
        assert_eq!(top(node, &format!("period={today}&limit=1"))[0].0, "/tin-tuc/bai-1");
        assert_eq!(top(node, "period=1999-01"), []);
    }

    // An unknown page reads as zero and creates no key.
    let before = keys();
    for node in nodes {
        let never = get(
            node,
            "pages/figures?url=http://localhost/never&url=http://localhost/tin-tuc/bai-1&figures=total,today",
        );
        assert_eq!(never["pages"][0]["figures"][0]["value"], 0);
        assert_eq!(never["pages"][1]["figures"][0]["value"], 3 * each);
        assert_eq!(never["pages"][0]["page"], "/never");
        assert_eq!(figure(node, "yesterday"), if date == monday { 106 } else { 0 });
    }
    assert_eq!(keys(), before);

    // The latest title holds, whichever node received it.
    std::thread::sleep(Duration::from_millis(5));
    assert_eq!(titled(last, "/tin-tuc/bài-2", "Mới").status, 200);
    for node in nodes {
        until("the latest title holds", LONG, || {
            top(node, "period=total")
                .iter()
                .any(|(page, title, _)| page == "/tin-tuc/bài-2" && title.as_deref() == Some("Mới"))
        });
        let range = format!("by=day&from={}&to={today}", in_last_week(0));
        let history = || get(node, &format!("history?{range}"))["history"].clone();
        let value = |at: usize| history()[at]["value"].as_i64().unwrap();
        until("the history is up to date", LONG, || value(history().as_array().unwrap().len() - 1) == hits + 1);
        assert_eq!((value(0), value(6)), (100, 106));
        let csv = node.get(&format!("/v1/sites/demo/history?{range}&format=csv"));
        assert!(csv.head.contains("content-type: text/csv"), "{}", csv.head);
        let lines: Vec<_> = csv.body.lines().collect();
        assert_eq!((lines[0], lines[1]), ("period,hits", format!("{},100", in_last_week(0)).as_str()));
        assert_eq!(lines.last().unwrap(), &format!("{today},{}", hits + 1));
        let years = get(node, &format!("history?by=year&from={last_year}"));
        assert_eq!(years["history"].as_array().unwrap().len(), 2);
        assert_eq!(years["history"][0]["value"], 500_000);
        let chart = node.get("/v1/sites/demo/chart.svg?by=day&last=7");
        assert!(chart.status == 200 && chart.head.contains("content-type: image/svg+xml"), "{}", chart.head);
        assert!(chart.body.contains("<title id=") && chart.body.contains("<desc id="), "{}", chart.body);
    }
}

#[test]
fn a_node_alone_shows_every_figure() {
    let directory = TempDir::new().unwrap();
    let nodes = [start(directory.path(), SITE, &[])];
    story(&nodes, Vec::new);
    let [node] = nodes;
    node.stop();
    // All of it is on disk.
    let node = start(directory.path(), SITE, &[]);
    assert_eq!(figure(&node, "last_week"), 721);
    assert_eq!(views(&node, "/tin-tuc/bai-1", "total"), 3);
    let total = top(&node, "period=total");
    assert_eq!(total.iter().find(|(page, ..)| page == "/tin-tuc/bài-2").unwrap().1.as_deref(), Some("Mới"));
    node.stop();
}

#[test]
fn two_nodes_with_one_redis_show_every_figure() {
    let redis = Redis::start();
    let (one, two) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let url = redis.url();
    let nodes = [one.path(), two.path()].map(|directory| start(directory, SITE, &["--redis", &url]));
    let keys = || {
        let mut keys: Vec<_> = redis.cli(&["KEYS", "*"]).lines().map(str::to_owned).collect();
        keys.sort();
        keys
    };
    story(&nodes, keys);
    // A Redis that lost everything receives the counts again, and the titles once they are requested.
    redis.cli(&["FLUSHALL"]);
    let titles = || {
        nodes.each_ref().map(|node| {
            let found = top(node, "period=total").into_iter().find(|(page, ..)| page == "/tin-tuc/bài-2");
            found.and_then(|(_, title, hits)| title.map(|title| (title, hits)))
        })
    };
    until("titles and views are published again", LONG * 2, || {
        titles().iter().all(|found| found.as_ref().is_some_and(|(title, hits)| title == "Mới" && *hits == 3))
    });
    // Without Redis each node shows its own counts, and marks them stale.
    drop(redis);
    for node in &nodes {
        until("it is stale", LONG, || get(node, "pages/figures?url=http://localhost/tin-tuc/bai-1")["stale"] == true);
        assert!(views(node, "/tin-tuc/bai-1", "total") >= 3);
        until("history too", LONG, || get(node, "history")["stale"] == true);
    }
    nodes.into_iter().for_each(Node::stop);
}

#[test]
fn two_nodes_with_a_cluster_show_every_figure() {
    let cluster = Cluster::start();
    let (one, two) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let url = cluster.url();
    let nodes = [one.path(), two.path()].map(|directory| start(directory, SITE, &["--redis", &url]));
    story(&nodes, || cluster.keys());
    nodes.into_iter().for_each(Node::stop);
}

/// One connection per hit: the kernel chooses the worker.
#[test]
fn the_latest_title_holds_whichever_worker_it_came_to() {
    let directory = TempDir::new().unwrap();
    let node = start(directory.path(), &format!("[limits]\nenabled = false\n{SITE}"), &[]);
    for round in 0..40 {
        let title = ["Cũ", "Mới"][usize::from(rand::random::<bool>())];
        assert_eq!(titled(&node, "/a", title).status, 200);
        let shown = || top(&node, &format!("period=total&limit={}", 1 + round))[0].1.clone();
        until("the latest title is shown", LONG, || shown().as_deref() == Some(title));
    }
    node.stop();
}

/// More pages with equal hits than any list holds, registered from last to first.
#[test]
fn pages_read_as_often_stand_by_address_with_and_without_redis_wherever_the_list_ends() {
    let redis = Redis::start();
    let url = redis.url();
    let site = format!("[limits]\nenabled = false\n{SITE}");
    let [alone, one, two] = [(); 3].map(|()| TempDir::new().unwrap());
    let [alone_at, one_at, two_at] = [&alone, &one, &two].map(TempDir::path);
    let mut by_address = vec!["/nhieu".to_owned()];
    by_address.extend((0..130).map(|page| format!("/trang-{page:03}")));
    by_address.push("/ả".to_owned());
    for (directory, more) in [(alone_at, &[][..]), (one_at, &["--redis", &url])] {
        let node = start(directory, &site, more);
        for page in by_address.iter().rev() {
            assert_eq!(node.hit(page).status, 200);
        }
        for _ in 0..2 {
            assert_eq!(node.hit("/nhieu").status, 200);
        }
        // An address without a page has no figures.
        import(&node, "old", "period,page,hits\ntotal,/am,-1\n");
        node.stop();
    }
    let [alone, one, two] = [(alone_at, &[][..]), (one_at, &["--redis", &url]), (two_at, &["--redis", &url])]
        .map(|(at, more)| start(at, &site, more));
    for limit in [1, 2, 10, 100] {
        for (name, node) in [("alone", &alone), ("with Redis", &one), ("that has counted none", &two)] {
            let pages = || top(node, &format!("period=total&limit={limit}")).into_iter().map(|(page, ..)| page);
            until(&format!("a node {name} shows {limit}"), LONG, || pages().eq(by_address.iter().take(limit).cloned()));
        }
    }
    [alone, one, two].into_iter().for_each(Node::stop);
}

#[test]
fn queries_that_make_no_sense_are_refused_with_a_hint() {
    let directory = TempDir::new().unwrap();
    let node = start(directory.path(), SITE, &[]);
    let many = "url=http://localhost/a&".repeat(51);
    for (question, field, said) in [
        (
            "figures?figures=tomorrow",
            "figures",
            "today, yesterday, week, last_week, month, last_month, year, last_year, total",
        ),
        ("figures?figures=", "figures", "is not a figure"),
        ("figures?figures=today,today", "figures", "twice"),
        ("figures?figures=0", "figures", "for hits"),
        ("figures?figures=today,online", "figures", "counts no visitors, so it has no `online`; set `visitors = true`"),
        ("figures?figures=visitors_yesterday", "figures", "counts no visitors"),
        ("figures?language=fr", "language", "expected vi or en"),
        ("figures?label_style=modern", "label_style", "expected dated"),
        ("pages/figures?url=http://localhost/a&figures=online", "figures", "pages have no `online`"),
        ("pages?language=fr", "language", "expected vi or en"),
        ("pages/figures", "url", "names no page; add `url=`"),
        ("pages/figures?url=bai-1", "url", "not an address"),
        ("pages/figures?url=mailto:a@b.vn&url=bai-1", "url", "not an http or https address"),
        (many.trim_end_matches('&'), "url", "send at most 50"),
        ("pages/figures?url=http://localhost/a&figures=year", "figures", "have no `year`"),
        ("pages?limit=0", "limit", "from 1 to 100"),
        ("pages?limit=1000000000", "limit", "from 1 to 100"),
        ("pages?limit=-1", "limit", "from 1 to 100"),
        ("pages?limit=99999999999999999999999", "limit", "from 1 to 100"),
        ("pages?limit=1&limit=2", "limit", "more than once"),
        ("pages?period=2024-02-30", "period", "`2024-02-30` is not a period of pages; expected a day"),
        ("pages?period=2024-W60", "period", "`2024-W60` is not a period of pages; expected a day"),
        ("pages?period=2024", "period", "a month such as `2024-06`, or `total`"),
        ("pages?period=2024-W25", "period", "a month such as `2024-06`, or `total`"),
        ("history?by=hour", "by", "day, month or year"),
        ("history?from=2024-02-30", "from", "`2024-02-30` is not a period"),
        ("history?to=2024-W60", "to", "`2024-W60` is not a period"),
        ("history?from=2024-06-17&to=2024-06-16", "from", "must not be after"),
        ("history?from=1970&to=2069", "from", "more than 1100 lines"),
        ("history?by=month&from=1970&to=2069", "from", "more than 1100 lines"),
        ("history?from=total", "from", "neither beginning nor end"),
        ("history?format=xml", "format", "neither `json` nor `csv`"),
        ("chart.svg?last=0", "last", "from 1 to 366"),
        ("chart.svg?last=100000", "last", "from 1 to 366"),
        ("chart.svg?by=second", "by", "day, month or year"),
        ("chart.svg?from=2024-06-17&to=2024-06-16", "from", "must not be after"),
        ("chart.svg?from=2022&to=2023", "from", "more than 366 lines"),
        ("chart.svg?to=2024-02-30", "to", "`2024-02-30` is not a period"),
        ("chart.svg?from=2024&last=30", "last", "exclude each other"),
        ("history?from=2024&last=30", "last", "exclude each other"),
        ("history?last=1101", "last", "from 1 to 1100"),
        ("history?to=total", "to", "neither beginning nor end"),
    ] {
        let question =
            if question.starts_with("url=") { format!("pages/figures?{question}") } else { question.to_owned() };
        let answer = node.get(&format!("/v1/sites/demo/{question}"));
        assert_eq!(answer.status, 400, "{question}: {}", answer.body);
        assert!(answer.head.contains("application/problem+json"), "{}", answer.head);
        let problem = answer.json();
        assert_eq!(problem["field"], field, "{question}: {problem}");
        assert!(problem["detail"].as_str().unwrap().contains(said), "{question}: {problem}");
    }
    assert_eq!(node.get("/v1/sites/demo/pages/figures?url=http://elsewhere.example/").status, 403);
    for what in ["figures", "pages", "pages/figures?url=http://localhost/", "history", "chart.svg"] {
        assert_eq!(node.get(&format!("/v1/sites/nobody/{what}")).status, 404, "{what}");
        assert_eq!(node.post(&format!("/v1/sites/demo/{what}"), "").status, 405, "{what}");
    }
    // A hit counts whatever its query; the answer names the query's error.
    let hit = r#"{"site":"demo","url":"http://localhost/a"}"#;
    for (query, field) in [
        ("figures=tomorrow", "figures"),
        ("figures=online", "figures"),
        ("language=fr", "language"),
        ("label_style=x", "label_style"),
    ] {
        let answer = node.post(&format!("/v1/hit?{query}"), hit);
        assert_eq!((answer.status, answer.json()["field"].as_str()), (400, Some(field)), "{}", answer.body);
        assert_eq!(answer.header("thongke-hit"), Some("counted"), "{}", answer.head);
        assert!(answer.header("access-control-expose-headers").unwrap().contains("Thongke-Hit"), "{}", answer.head);
    }
    // A hit that is itself refused does not count, whatever its query.
    let nobody = node.post("/v1/hit?figures=tomorrow", r#"{"site":"nobody","url":"http://localhost/a"}"#);
    assert_eq!((nobody.status, nobody.header("thongke-hit")), (404, None), "{}", nobody.head);
    assert_eq!(node.post("/v1/hit", r#"{"site":"demo","url":"http://localhost/a","title":null}"#).status, 200);
    let counted = node.post("/v1/hit?figures=total", hit);
    assert_eq!((counted.status, counted.figure("total")), (200, 6));
    let long = titled(&node, "/a", &"ả".repeat(1_000));
    assert_eq!(long.status, 200);
    assert_eq!(top(&node, "limit=1")[0].1.as_ref().unwrap().chars().count(), 200);
    // A century by year is within the limit; all its years are zero.
    assert_eq!(get(&node, "history?by=year&from=1970&to=2069")["history"].as_array().unwrap().len(), 100);
    // A chart shows the history of the same query.
    for (query, first, last) in [
        ("from=2024-02&to=2024-W10", "2024-02-01", "2024-03-10"),
        ("by=month&from=2023-12-31&to=2024-02", "2023-12", "2024-02"),
        ("last=3&to=2024-03-01", "2024-02-28", "2024-03-01"),
        ("by=year&last=2&to=2020", "2019", "2020"),
    ] {
        let history = get(&node, &format!("history?{query}"));
        let lines = history["history"].as_array().unwrap();
        assert_eq!((&lines[0]["period"], &lines[lines.len() - 1]["period"]), (&first.into(), &last.into()), "{query}");
        let chart = node.get(&format!("/v1/sites/demo/chart.svg?{query}")).body;
        assert!(chart.contains(&format!("Từ {first} đến {last}:")), "{query}: {chart}");
    }
    node.stop();
}

#[test]
fn each_page_of_a_list_is_answered_by_itself_and_may_be_named_by_its_path() {
    let directory = TempDir::new().unwrap();
    let node = start(directory.path(), SITE, &[]);
    for page in ["/tin-t%E1%BB%A9c/b%C3%A0i?id=7&fbclid=1", "/c%E9", "//a", "/100%25"] {
        assert_eq!(node.hit(page).status, 200);
    }
    let addresses = "url=/tin-t%E1%BB%A9c/b%C3%A0i/?id=7%26fbclid=2&url=http://elsewhere.example/a&url=http://localhost:1/tin-tức/bài?id=7\
        &url=//a&url=/c%E9&url=/c%25E9&url=/100%2525&url=http://%5B&url=/chua-ai-doc";
    let answer = get(&node, &format!("pages/figures?{}", addresses.replace("ức/bài", "%E1%BB%A9c/b%C3%A0i")));
    let found = |page: &Value| match page["problem"]["status"].as_u64() {
        Some(status) => (status.to_string(), page["problem"]["field"] == "url" && page.get("figures").is_none()),
        None => (page["page"].as_str().unwrap().to_owned(), page["figures"][0]["value"] == 1),
    };
    let found: Vec<_> = answer["pages"].as_array().unwrap().iter().map(found).collect();
    let expected = [
        ("/tin-tức/bài?id=7", true),
        ("403", true),
        ("/tin-tức/bài?id=7", true),
        ("/a", true),
        ("/c%E9", true),
        ("/c%E9", true),
        ("/100%25", true),
        ("400", true),
        ("/chua-ai-doc", false),
    ];
    assert_eq!(found, expected.map(|(page, is_so)| (page.to_owned(), is_so)));
    let foreign = "/v1/sites/demo/pages/figures?url=http://elsewhere.example/a&url=http://elsewhere.example/b";
    assert_eq!(node.get(foreign).status, 403);
    node.stop();
}

#[test]
fn a_client_that_has_the_answer_in_other_words_does_not_have_it() {
    let directory = TempDir::new().unwrap();
    let node = start(directory.path(), SITE, &[]);
    assert_eq!(node.hit("/a").status, 200);
    // Counted long ago, so that no answer changes between requests.
    for question in [
        "figures?figures=last_year",
        "pages?period=2024-06",
        "pages/figures?url=/a&figures=last_month",
        "history?from=2024-06-01&to=2024-06-03",
        "chart.svg?from=2024-06-01&to=2024-06-03",
    ] {
        let tag = |more: &str| {
            node.get(&format!("/v1/sites/demo/{question}{more}")).header("etag").unwrap_or_default().to_owned()
        };
        assert_eq!(tag(""), tag("&language=vi"), "{question}");
        assert_ne!(tag(""), tag("&language=en"), "{question}");
    }
    node.stop();
}

#[test]
fn an_address_that_was_cut_is_no_link() {
    let directory = TempDir::new().unwrap();
    let node = start(directory.path(), SITE, &[]);
    for page in [format!("/{}", "x".repeat(600)), "/whole".to_owned()] {
        assert_eq!(node.hit(&page).status, 200);
    }
    let pages = get(&node, "pages?period=total")["pages"].clone();
    let shown: Vec<_> =
        pages.as_array().unwrap().iter().map(|page| (&page["page"] == "/whole", page.get("cut"))).collect();
    assert_eq!(shown.len(), 2);
    for (is_whole, cut) in shown {
        assert_eq!(cut, (!is_whole).then_some(&Value::Bool(true)));
    }
    node.stop();
}

#[test]
fn a_list_links_to_what_readers_used_without_noise_also_after_a_restart() {
    let directory = TempDir::new().unwrap();
    let long = format!("/{}", "x".repeat(600));
    let read = [
        ("/Tin/Bai.ASPX?ItemID=5&fbclid=1&me=a%40b.vn", "/tin/bai.aspx?itemid=5", "/Tin/Bai.ASPX?ItemID=5"),
        ("/index.php?nv=news&id=7", "/?id=7&nv=news", "/index.php?nv=news&id=7"),
        ("//evil.example/x", "/evil.example/x", "/evil.example/x"),
        (&long, "", &long),
    ];
    let mut node = start(directory.path(), SITE, &[]);
    for (url, ..) in read {
        assert_eq!(titled(&node, url, "Tin").status, 200);
    }
    for restarts in [false, true] {
        if restarts {
            node.stop();
            node = start(directory.path(), SITE, &[]);
        }
        let pages = || get(&node, "pages?period=total")["pages"].as_array().unwrap().clone();
        until("titles are known", LONG, || pages().iter().all(|page| page["title"] == "Tin"));
        let pages = pages();
        for (_, page, link) in read {
            let of_page = |listed: &&Value| listed["page"] == page || (page.is_empty() && listed["cut"] == true);
            assert_eq!(pages.iter().find(of_page).map(|listed| &listed["link"]), Some(&Value::from(link)), "{pages:?}");
        }
    }
    node.stop();
}

#[test]
fn counts_under_an_address_of_the_former_rule_are_read_with_those_of_the_present_one() {
    let directory = TempDir::new().unwrap();
    let node = start(directory.path(), SITE, &[]);
    (0..2).for_each(|_| assert_eq!(node.hit("/?nv=news&id=7").status, 200));
    assert_eq!(node.hit("/?pageid=1&docid=2").status, 200);
    assert_eq!(node.hit("/").status, 200);
    node.stop();
    let file = rusqlite::Connection::open(directory.path().join("data/thongke.db")).unwrap();
    let sql = "UPDATE pages SET address = '/?nv=news&id=7', address_rule = 1 WHERE address = '/?id=7&nv=news'";
    assert_eq!(file.execute(sql, []).unwrap(), 1);
    drop(file);
    let node = start(directory.path(), SITE, &[]);
    assert_eq!(node.hit("/index.php?id=7&nv=news").status, 200);
    until("both are read together", LONG, || views(&node, "/?nv=news%26id=7", "total") == 3);
    assert_eq!((views(&node, "/?pageid=1%26docid=2", "total"), views(&node, "/", "total")), (1, 1));
    let list = top(&node, "period=total&limit=2");
    assert_eq!(list, [("/?id=7&nv=news".to_owned(), None, 3), ("/".to_owned(), None, 1)]);
    node.stop();
}

#[test]
fn lists_and_figures_agree_on_former_pages_whatever_the_limit_and_the_configuration() {
    let directory = TempDir::new().unwrap();
    let node = start(directory.path(), SITE, &[]);
    // As rule 1 had them; without an address: pages of the present rule.
    let pages = [
        ("/cu-1", 3, Some("/Tin/Bai.aspx?ItemID=5")),
        ("/cu-2", 2, Some("/tin/bai.aspx?ItemID=5")),
        ("/cu-3", 3, Some("/tin//bai")),
        ("/tin/bai", 1, None),
        ("/cu-4", 4, Some("/tra-cuu?id=0912345678")),
        ("/danh-sach?so=1", 2, None),
        ("/danh-sach", 1, None),
    ];
    for (page, hits, _) in pages {
        (0..hits).for_each(|_| assert_eq!(titled(&node, page, page).status, 200));
    }
    until("titles are known", LONG, || top(&node, "period=total").iter().all(|(_, title, _)| title.is_some()));
    node.stop();
    let file = rusqlite::Connection::open(directory.path().join("data/thongke.db")).unwrap();
    for (page, _, former) in pages {
        let Some(former) = former else { continue };
        let sql = "UPDATE pages SET address = ?, address_rule = 1 WHERE address = ?";
        assert_eq!(file.execute(sql, [former, page]).unwrap(), 1);
    }
    drop(file);
    // What is noise from now on changes no page of the present rule.
    let node = start(directory.path(), &format!("{SITE}page_params_ignored = [\"so\"]\n"), &[]);
    let expected = [
        ("/tin/bai.aspx?itemid=5", "/cu-1", 5),
        ("/tin/bai", "/tin/bai", 4),
        ("/tra-cuu?id=0912345678", "/cu-4", 4),
        ("/danh-sach?so=1", "/danh-sach?so=1", 2),
        ("/danh-sach", "/danh-sach", 1),
    ];
    let expected = expected.map(|(page, title, hits)| (page.to_owned(), Some(title.to_owned()), hits));
    for limit in 1..=expected.len() {
        assert_eq!(top(&node, &format!("period=total&limit={limit}")), expected[..limit]);
    }
    for (page, hits) in [
        ("/Tin/Bai.aspx?ItemID=5", 5),
        ("/tin/bai.aspx?itemid=5", 5),
        ("/tin//bai", 4),
        ("/tin/bai", 4),
        ("/tra-cuu", 0),
        ("/danh-sach", 1),
    ] {
        assert_eq!(views(&node, page, "total"), hits, "{page}");
    }
    assert_eq!(node.hit("/tin/bai.aspx?ItemID=5").status, 200);
    until("new hits are read with the older ones", LONG, || views(&node, "/Tin/Bai.aspx?ItemID=5", "total") == 6);
    node.stop();
}

#[test]
fn former_pages_that_only_redis_has_are_read_with_the_present_ones() {
    let (redis, directory) = (Redis::start(), TempDir::new().unwrap());
    let key = "thongke:{demo}:pages:total";
    redis.cli(&["ZADD", key, "4", "/?nv=news&id=7", "2", "/tin?p=1", "1", "/tin"]);
    let node = start(directory.path(), SITE, &["--redis", &redis.url()]);
    assert_eq!(node.hit("/?id=7&nv=news").status, 200);
    until("the page is published", LONG, || redis.cli(&["ZSCORE", key, "/?id=7&nv=news"]).trim() == "1");
    assert_eq!(views(&node, "/?nv=news%26id=7", "total"), 5);
    // An address that a site's own parameters could make stays what it is.
    let expected = [("/?id=7&nv=news", 5), ("/tin?p=1", 2), ("/tin", 1)];
    assert_eq!(top(&node, "period=total"), expected.map(|(page, hits)| (page.to_owned(), None, hits)));
    node.stop();
}

#[test]
fn the_box_speaks_as_the_portal_does() {
    let directory = TempDir::new().unwrap();
    let words = "label_style = \"current\"\nfigures = [\"month\", \"week\", \"total\"]\n\
                 labels = { week = \"Trong tuần\", title = \"Số lượt truy cập\" }\n";
    let node = start(directory.path(), &format!("{SITE}{words}"), &[]);
    let figures = node.hit("/a").json();
    assert_eq!(figures["title"], "Số lượt truy cập");
    let labels: Vec<_> = figures["figures"].as_array().unwrap().iter().map(|figure| figure["label"].clone()).collect();
    assert_eq!(labels, ["Tháng hiện tại", "Trong tuần", "Tổng lượt truy cập"]);
    node.stop();
}

/// Exported hits of a page, over all periods.
fn exported(node: &Node, page: &str) -> i64 {
    let export = node.admin_get("/sites/demo/export");
    let line = export.body.lines().find_map(|line| line.strip_prefix(&format!("total,{page},")).map(str::to_owned));
    line.map_or(0, |hits| hits.trim().parse().unwrap())
}

fn folded(node: &Node, reason: &str) -> u64 {
    let metrics = node.admin_get("/metrics").body;
    let series = format!("thongke_other_page_hits_total{{reason=\"{reason}\"}} ");
    metrics.lines().find_map(|line| line.strip_prefix(&series)).map_or(0, |value| value.trim().parse().unwrap())
}

#[test]
fn pages_beyond_the_days_cap_count_as_others_and_known_ones_never_do() {
    let directory = TempDir::new().unwrap();
    let site = format!("[limits]\nenabled = false\n{SITE}page_cap = 30\n");
    let node = start(directory.path(), &site, &[]);
    import(&node, "old", "period,page,hits\ntotal,/known,5\n");
    for page in 0..40 {
        assert_eq!(node.hit(&format!("/page-{page}")).status, 200);
    }
    assert_eq!(node.hit("/page-1").status, 200);
    assert_eq!(node.hit("/known").status, 200);
    assert_eq!(titled(&node, "/page-35", "Không ai thấy").status, 200);
    assert_eq!(node.figures().figure("today"), 43);
    assert_eq!((views(&node, "/page-1", "total"), views(&node, "/page-29", "total")), (2, 1));
    assert_eq!((views(&node, "/page-30", "total"), views(&node, "/known", "total")), (0, 6));
    assert_eq!((exported(&node, "(other)"), exported(&node, "/page-35")), (11, 0));
    assert_eq!((folded(&node, "site"), folded(&node, "client")), (11, 0));
    assert!(top(&node, "limit=100").iter().all(|(page, ..)| page != "(other)"));
    // A restart begins no new day.
    node.kill();
    let node = start(directory.path(), &site, &[]);
    for page in 0..50 {
        assert_eq!(node.hit(&format!("/page-{page}")).status, 200);
    }
    let beyond: Vec<_> = (30..50).filter(|page| exported(&node, &format!("/page-{page}")) > 0).collect();
    assert!(beyond.len() <= 3, "a tenth of the cap: {beyond:?}");
    assert_eq!(views(&node, "/page-29", "total"), 2);
    node.stop();
}

#[test]
fn a_page_that_another_node_has_counted_is_a_known_one() {
    let redis = Redis::start();
    let url = redis.url();
    let site = format!("[limits]\nenabled = false\n{SITE}page_cap = 30\n");
    let [one, two] = [(); 2].map(|()| TempDir::new().unwrap());
    let [one, two] = [&one, &two].map(|directory| start(directory.path(), &site, &["--redis", &url]));
    assert_eq!(one.hit("/known").status, 200);
    let in_redis = || redis.cli(&["ZSCORE", "thongke:{demo}:pages:total", "/known"]).trim() == "1";
    until("the page is published", LONG, in_redis);
    for page in 0..40 {
        assert_eq!(two.hit(&format!("/page-{page}")).status, 200);
    }
    assert_eq!(two.hit("/known").status, 200);
    assert_eq!(exported(&two, "/known"), 1);
    // A page that Redis is slow to deny is unverifiable.
    let folded_before = folded(&two, "site");
    assert!((1..=10).contains(&folded_before), "{folded_before}");
    assert_eq!(exported(&two, "(other)"), i64::try_from(folded_before).unwrap());
    // A few unverifiable pages count; without Redis no further one does.
    drop(redis);
    for page in 100..200 {
        assert_eq!(two.hit(&format!("/page-{page}")).status, 200);
    }
    let export = two.admin_get("/sites/demo/export").body;
    let pages = export.lines().filter(|line| line.starts_with("total,/")).count();
    assert!((30 + 40..=30 + 40 + 1).contains(&pages), "{pages}");
    assert_eq!(folded(&two, "site") as usize, 141 - pages);
    [one, two].into_iter().for_each(Node::stop);
}

/// Three networks read the site, so that it needs as many for a page.
fn read_by_three_networks(node: &Node) {
    for network in 1..=3 {
        let body = r#"{"site":"demo","url":"http://localhost/trang-chu"}"#;
        assert_eq!(node.hit_with(&[&format!("X-Forwarded-For: 203.0.{network}.1")], body).status, 200);
    }
}

#[test]
fn one_client_can_not_fill_a_sites_day() {
    let directory = TempDir::new().unwrap();
    let site = format!("trusted_proxies = [\"127.0.0.1\"]\n{SITE}page_cap = 100\n");
    let node = start(directory.path(), &site, &[]);
    read_by_three_networks(&node);
    import(&node, "old", "period,page,hits\ntotal,/known,5\n");
    for page in 0..50 {
        assert_eq!(node.hit(&format!("/page-{page}")).status, 200);
    }
    assert_eq!(node.hit("/known").status, 200);
    assert_eq!(
        (exported(&node, "(other)"), views(&node, "/page-19", "total"), views(&node, "/page-20", "total")),
        (30, 1, 0)
    );
    assert_eq!((exported(&node, "/known"), folded(&node, "client")), (6, 30));
    node.stop();
}

#[test]
fn a_restart_gives_no_client_its_whole_part_again() {
    let directory = TempDir::new().unwrap();
    let site = format!("trusted_proxies = [\"127.0.0.1\"]\n{SITE}page_cap = 1000\n");
    let bring = |node: &Node, pages: std::ops::Range<u32>| {
        let before = folded(node, "client");
        let count = u64::from(pages.end - pages.start);
        pages.for_each(|page| assert_eq!(node.hit(&format!("/page-{page}")).status, 200));
        count - (folded(node, "client") - before)
    };
    let node = start(directory.path(), &site, &[]);
    read_by_three_networks(&node);
    assert_eq!(bring(&node, 0..100), 50);
    node.kill();
    // A client's part is a twentieth of the day's remaining cap, without these pages and `(other)`.
    let node = start(directory.path(), &site, &[]);
    read_by_three_networks(&node);
    assert_eq!(bring(&node, 100..200), (1_000 - 50) / 20);
    assert_eq!(bring(&node, 0..50), 50);
    node.stop();
}

#[test]
fn a_network_of_many_prefixes_can_not_fill_a_sites_day() {
    let directory = TempDir::new().unwrap();
    let site = format!("trusted_proxies = [\"127.0.0.1\"]\n{SITE}page_cap = 1000\n");
    let node = start(directory.path(), &site, &[]);
    let hit = |page: &str, from: String| {
        let body = format!(r#"{{"site":"demo","url":"http://localhost{page}"}}"#);
        assert_eq!(node.hit_with(&[&format!("X-Forwarded-For: {from}")], body).status, 200);
    };
    read_by_three_networks(&node);
    for number in 0..150 {
        hit(&format!("/page-{number}"), format!("2001:db8:7:{number:x}::1"));
    }
    assert_eq!((folded(&node, "network"), folded(&node, "client"), folded(&node, "site")), (50, 0, 0));
    hit("/tin-tuc", "2001:db8:8::1".to_owned());
    assert_eq!((views(&node, "/tin-tuc", "total"), exported(&node, "(other)")), (1, 50));
    node.stop();
}
