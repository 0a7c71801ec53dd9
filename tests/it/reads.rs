//! Reads of history, and what another node changes in it.

use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::node::{Answer, Node, ask, until};
use crate::redis::Redis;

/// Time within which another node's correction shows: values of years that are over are kept for less.
const LIMIT: Duration = Duration::from_secs(60);

fn import(node: &Node, csv: &str) {
    let path = "/sites/demo/import?source=old";
    let answer = ask(&node.admin, "POST", path, &["Content-Type: text/csv"], csv);
    assert_eq!(answer.status, 200, "{}", answer.body);
}

/// A day's hits, by a question that differs from the last.
fn hits_of_day(node: &Node, asked: &mut u32) -> i64 {
    *asked += 1;
    let answer = node.get(&format!("/v1/sites/demo/history?to=2019-03-05&last={}", 1 + *asked % 1_000)).json();
    let history = answer["history"].as_array().unwrap();
    history.last().unwrap()["value"].as_i64().unwrap()
}

/// Values of a page's history by period, and its total.
fn of_page(answer: &Answer) -> (Vec<(String, i64)>, i64) {
    let answer = answer.json();
    let line = |line: &Value| (line["period"].as_str().unwrap().to_owned(), line["value"].as_i64().unwrap());
    (answer["history"].as_array().unwrap().iter().map(line).collect(), answer["total"]["value"].as_i64().unwrap())
}

#[test]
fn a_pages_days_months_and_total_are_those_of_all_nodes_for_as_long_as_they_are_kept() {
    let redis = Redis::start();
    let directories = [(); 2].map(|()| TempDir::new().unwrap());
    let nodes = directories.each_ref().map(|directory| {
        let config = directory.path().join("thongke.toml");
        let site = "origins = [\"http://localhost\"]\nvouching_networks = 1\npage_days = 3\npage_months = 2\n";
        std::fs::write(&config, format!("[sites.demo]\n{site}")).unwrap();
        let data = directory.path().join("data");
        Node::start(&data, &["--config", config.to_str().unwrap(), "--redis", &redis.url()])
    });
    let today = chrono::Utc::now().with_timezone(&chrono_tz::Asia::Ho_Chi_Minh).date_naive();
    let days: Vec<_> = (0..4).rev().map(|before| (today - chrono::Days::new(before)).to_string()).collect();
    let months: Vec<_> =
        (0..3).rev().map(|before| (today - chrono::Months::new(before)).format("%Y-%m").to_string()).collect();
    import(&nodes[0], &format!("period,page,hits\n{},/tin,5\n{},/tin,40\ntotal,/tin,100\n", days[2], months[1]));
    nodes.iter().for_each(|node| assert_eq!(node.hit("/tin").status, 200));
    let paths = ["/v1/sites/demo/pages/history", "/sites/demo/pages/history"];
    let ask_both = |node: &Node, query: &str| {
        let [public, admin] =
            [node.get(&format!("{}?{query}", paths[0])), node.admin_get(&format!("{}?{query}", paths[1]))];
        (public, admin)
    };
    let (by_day, by_month) = (vec![0, 0, 5, 2], vec![0, 40, 2]);
    for node in &nodes {
        until("both nodes' hits are in all lines", LIMIT, || {
            of_page(&ask_both(node, "url=/tin").0) == (days.iter().cloned().zip(by_day.clone()).collect(), 102)
        });
        let (public, admin) = ask_both(node, "url=http://localhost/tin/&by=month");
        assert_eq!(of_page(&public), (months.iter().cloned().zip(by_month.clone()).collect(), 102));
        assert_eq!(of_page(&admin), of_page(&public));
        let json = public.json();
        assert_eq!(
            (&json["page"], &json["url"], &json["by"]),
            (&"/tin".into(), &"http://localhost/tin/".into(), &"month".into())
        );
    }
    let node = &nodes[0];
    let csv = ask_both(node, &format!("url=/tin&from={}&to={}&format=csv", days[2], days[2])).0;
    assert_eq!(csv.body, format!("period,page,hits\n{},/tin,5\ntotal,/tin,102\n", days[2]));
    assert_eq!((csv.header("content-type"), csv.header("vary")), (Some("text/csv; charset=utf-8"), Some("accept")));
    // Before what is kept there is nothing but the total.
    assert_eq!(of_page(&ask_both(node, "url=/tin&from=2001&to=2002").0), (vec![], 102));
    assert_eq!(of_page(&ask_both(node, "url=/nobody").0).1, 0);
    for (query, status, said) in [
        ("", 400, "names no page"),
        ("url=/a&url=/b", 400, "more than once"),
        ("url=/a&by=year", 400, "pages are counted by day, month and in total"),
        ("url=/a&last=1101", 400, "from 1 to 1100"),
        ("url=/a&figures=total", 400, "`/v1/sites/{site}/figures` does"),
        ("url=https://b.vn/a", 403, "is not allowed for site `demo`"),
    ] {
        let (public, admin) = ask_both(node, query);
        assert!(public.problem(status).contains(said), "{query}: {}", public.body);
        assert_eq!(admin.problem(status), public.problem(status), "{query}");
    }
    nodes.into_iter().for_each(Node::stop);
}

#[test]
fn a_correction_on_another_node_shows_in_a_year_that_is_over() {
    let redis = Redis::start();
    let directories = [(); 2].map(|()| TempDir::new().unwrap());
    let nodes = directories.each_ref().map(|directory| Node::start(directory.path(), &["--redis", &redis.url()]));
    let mut asked = 0;
    for hits in [100, 70, 85] {
        import(&nodes[0], &format!("period,hits\n2019-03-05,{hits}\n"));
        until("the node that imports shows it", LIMIT, || hits_of_day(&nodes[0], &mut asked) == hits);
        until("the other node shows it", LIMIT, || hits_of_day(&nodes[1], &mut asked) == hits);
    }
    for node in nodes {
        node.stop();
    }
}
