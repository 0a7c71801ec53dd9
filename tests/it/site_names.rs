//! Sites that are renamed, merged and removed, and sites that share a host.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;

use crate::node::{Answer, Node, PROGRAM, ask, until};
use crate::redis::Redis;

const LONG: Duration = Duration::from_secs(30);
const JSON: &[&str] = &["Content-Type: application/json"];

/// A node's configuration and data directory.
struct Place(TempDir);

impl Place {
    fn new(config: &str) -> Self {
        let place = Self(TempDir::new().unwrap());
        place.write(config);
        place
    }

    fn config(&self) -> PathBuf {
        self.0.path().join("thongke.toml")
    }

    fn write(&self, config: &str) {
        std::fs::write(self.config(), config).unwrap();
    }

    fn start(&self, more: &[&str]) -> Node {
        let config = self.config();
        Node::start(&self.0.path().join("data"), &[&["--config", config.to_str().unwrap()], more].concat())
    }

    /// Writes the configuration and has the node read it.
    fn reload(&self, node: &Node, config: &str) -> Answer {
        self.write(config);
        ask(&node.admin, "POST", "/reload", JSON, "")
    }

    /// Exit code, and all that a command says.
    fn run(&self, arguments: &[&str]) -> (i32, String) {
        let mut command = Command::new(PROGRAM);
        command.args(arguments).arg("--config").arg(self.config());
        let output = command.arg("--data-dir").arg(self.0.path().join("data")).output().unwrap();
        let [said, failed] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
        (output.status.code().unwrap(), said + &failed)
    }
}

fn site(id: &str, more: &str) -> String {
    format!("[sites.{id}]\norigins = [\"https://a.vn\"]\nfigures = [\"total\"]\nvouching_networks = 1\n{more}\n")
}

fn hit(node: &Node, site: &str, page: &str) -> Answer {
    node.post("/v1/hit", &json!({"site": site, "url": format!("https://a.vn{page}")}).to_string())
}

/// The id and the total that a site's figures name.
fn total(node: &Node, site: &str) -> (String, i64) {
    let answer = node.get(&format!("/v1/sites/{site}/figures"));
    (answer.json()["site"].as_str().unwrap().to_owned(), answer.figure("total"))
}

fn page(node: &Node, site: &str, page: &str) -> i64 {
    let answer = node.get(&format!("/v1/sites/{site}/pages/figures?url={page}")).json();
    answer["pages"][0]["figures"][0]["value"].as_i64().unwrap_or_else(|| panic!("{answer}"))
}

#[test]
fn a_renamed_site_goes_on_with_all_its_counts_on_all_nodes_under_both_ids() {
    let redis = Redis::start();
    let (before, after) = (site("old", ""), site("new", "counted_as = \"old\""));
    let places = [(); 2].map(|()| Place::new(&before));
    let nodes = places.each_ref().map(|place| place.start(&["--redis", &redis.url()]));
    let both = |id: &str, site: &str, expected: i64| {
        until("both nodes have all hits", LONG, || {
            nodes.iter().all(|node| total(node, id) == (site.to_owned(), expected))
        });
    };
    for node in &nodes {
        for _ in 0..3 {
            assert_eq!(hit(node, "old", "/tin").status, 200);
        }
    }
    both("old", "old", 6);
    // One node is renamed first. No figure falls meanwhile, whatever the id.
    let changes = places[0].reload(&nodes[0], &after).json();
    assert_eq!(changes, json!({"added": ["new"], "changed": [], "removed": ["old"]}));
    for (id, hits) in [("old", 6), ("new", 7)] {
        assert_eq!(total(&nodes[0], id), ("new".to_owned(), hits));
        assert_eq!(hit(&nodes[0], id, "/tin").json()["site"], "new");
    }
    assert_eq!(hit(&nodes[1], "old", "/tin").json()["site"], "old");
    assert_eq!(hit(&nodes[1], "new", "/tin").status, 404);
    until("the other node has them", LONG, || total(&nodes[1], "old") == ("old".to_owned(), 9));
    assert_eq!(places[1].reload(&nodes[1], &after).status, 200);
    both("new", "new", 9);
    both("old", "new", 9);
    until("the page has all hits", LONG, || nodes.iter().all(|node| page(node, "old", "/tin") == 9));
    for path in ["history?by=month&last=1", "export", "sources", "pages/top"] {
        let of = |id: &str| nodes[0].admin_get(&format!("/sites/{id}/{path}"));
        assert_eq!((of("old").status, of("new").status), (200, 200), "{path}");
    }
    assert_eq!(nodes[0].total("old"), 9);
    assert_eq!(nodes[0].total("new"), 9);
    let (code, said) = places[0].run(&["sites", "list"]);
    assert_eq!((code, &*said), (0, "new  https://a.vn (also old)\n"));
    nodes.into_iter().for_each(Node::stop);
    // Back again, and as a stopped node tells it.
    let figures = places[0].run(&["figures", "old"]);
    assert!(figures.0 == 0 && figures.1.ends_with(": 9\n"), "{figures:?}");
    places[0].write(&before);
    let node = places[0].start(&["--redis", &redis.url()]);
    assert_eq!(total(&node, "old"), ("old".to_owned(), 9));
    node.stop();
}

#[test]
fn an_aliass_hits_are_the_sites_and_its_own_counts_are_brought_over_once() {
    let place = Place::new(&format!("{}{}", site("a", ""), site("c", "")));
    let node = place.start(&[]);
    for (site, hits) in [("a", 3), ("c", 2)] {
        (0..hits).for_each(|_| assert_eq!(hit(&node, site, "/tin").status, 200));
    }
    let merged = site("c", "aliases = [\"a\"]");
    assert_eq!(place.reload(&node, &merged).status, 200);
    let told = "counts of its alias `a` from before are not in its figures";
    until("it is said", LONG, || node.log().contains(told));
    assert_eq!(total(&node, "a"), ("c".to_owned(), 2));
    assert_eq!(hit(&node, "a", "/tin").figure("total"), 3);
    let pixel = node.get("/v1/hit.gif?site=a&url=https://a.vn/tin");
    assert_eq!((pixel.status, pixel.header("thongke-hit")), (200, Some("counted")));
    let admin = node.admin_get("/sites/a/figures").json();
    assert_eq!((&admin["site"], &admin["figures"][0]["value"]), (&json!("c"), &json!(4)));
    let listed = node.admin_get("/sites").json();
    assert_eq!(listed, json!([{"site": "a", "removed": true}, {"site": "c", "aliases": ["a"]}]));
    let list = place.run(&["sites", "list"]).1;
    assert_eq!(list, "a  (an alias of c; has counts of its own)\nc  https://a.vn (also a)\n");
    // Running and stopped, the export is of the alias's own counts.
    let csv = place.0.path().join("a.csv");
    let exported = place.run(&["export", "a"]).1;
    assert!(exported.contains("total,,3\n") && exported.contains("total,/tin,3\n"), "{exported}");
    node.stop();
    assert_eq!(place.run(&["export", "a"]).1, exported);
    std::fs::write(&csv, &exported).unwrap();
    let import = ["import", "c", csv.to_str().unwrap(), "--source", "merged.a"];
    (0..2).for_each(|_| assert_eq!(place.run(&import).0, 0));
    let node = place.start(&[]);
    assert_eq!((total(&node, "c").1, page(&node, "a", "/tin")), (7, 7));
    until("it is said again", LONG, || node.log().contains(told));
    assert_eq!(place.run(&["forget", "c", "--source", "merged.a"]).0, 0);
    assert_eq!(total(&node, "c").1, 4);
    node.stop();
}

#[test]
fn a_rename_by_an_alias_alone_is_warned_of() {
    let place = Place::new(&site("old", ""));
    let node = place.start(&[]);
    assert_eq!(hit(&node, "old", "/tin").status, 200);
    assert_eq!(place.reload(&node, &site("new", "aliases = [\"old\"]")).status, 200);
    assert!(node.log().contains("if it was renamed, set `counted_as = \"old\"`"), "{}", node.log());
    assert_eq!(total(&node, "new").1, 0);
    let lines = node.log().lines().count();
    assert_eq!(place.reload(&node, &site("new", "counted_as = \"old\"")).status, 200);
    assert_eq!(total(&node, "new").1, 1);
    assert!(!node.log().lines().skip(lines).any(|line| line.contains("alias")), "{}", node.log());
    // Hits of the time between are named, and shown in the list.
    assert_eq!(place.reload(&node, &site("new", "aliases = [\"old\"]")).status, 200);
    assert_eq!(hit(&node, "new", "/tin").figure("total"), 1);
    assert_eq!(place.reload(&node, &site("new", "counted_as = \"old\"")).status, 200);
    assert!(node.log().contains("it has counts under its own id from before it had `counted_as`"), "{}", node.log());
    let list = place.run(&["sites", "list"]).1;
    assert_eq!(list, "new  (has counts from before it had `counted_as`)\nnew  https://a.vn (also old)\n");
    let wrong = place.reload(&node, &format!("{}{}", site("new", "aliases = [\"b\"]"), site("b", "")));
    assert!(wrong.problem(422).contains("is the id of the site at"), "{}", wrong.body);
    node.stop();
}

#[test]
fn sites_of_one_host_count_the_pages_under_their_paths() {
    let sites = site("xa-a", "paths = [\"/xa-a\", \"/vn/xa-a\"]") + &site("xa-b", "paths = [\"/xa-b\"]");
    let place = Place::new(&(sites + &site("tinh", "")));
    let node = place.start(&[]);
    for (site, page, status) in [
        ("xa-a", "/xa-a", 200),
        ("xa-a", "/vn/xa-a/tin?id=1", 200),
        ("xa-a", "/xa-b/../%78a-a/tin", 200),
        ("xa-a", "/xa-ab", 403),
        ("xa-a", "/xa-a/../xa-b", 403),
        ("xa-a", "/xa-a/%2e%2e/xa-b", 403),
        ("xa-a", "/xa-a%2f..%2fxa-b", 403),
        ("xa-a", "/XA-A", 403),
        ("xa-a", "/", 403),
        ("xa-b", "/xa-b/tin", 200),
        ("xa-b", "/xa-a/tin", 403),
        ("tinh", "/xa-a/tin", 200),
        ("tinh", "/", 200),
    ] {
        // The second comes from the cache of texts.
        for _ in 0..3 {
            let answer = hit(&node, site, page);
            assert_eq!(answer.status, status, "{site} {page}: {}", answer.body);
            if status == 403 {
                let detail = answer.problem(403);
                assert!(detail.contains("under none of the paths of site `xa-"), "{detail}");
            }
        }
    }
    let canonical = |canonical: &str| {
        let body = json!({"site": "xa-a", "url": "https://a.vn/xa-a/bai", "canonical": canonical});
        assert_eq!(node.post("/v1/hit", &body.to_string()).status, 200);
    };
    canonical("https://a.vn/xa-b/bai");
    canonical("/xa-b/bai");
    assert_eq!((page(&node, "xa-a", "/xa-a/bai"), page(&node, "xa-a", "/xa-b/bai")), (2, 0));
    canonical("https://a.vn/xa-a/that");
    assert_eq!(page(&node, "xa-a", "/xa-a/that"), 1);
    let read = node.get("/v1/sites/xa-a/pages/figures?url=https://a.vn/xa-b");
    assert!(read.problem(403).contains("/xa-a, /vn/xa-a"), "{}", read.body);
    let list = place.run(&["sites", "list"]).1;
    assert!(list.contains("xa-a  https://a.vn /xa-a /vn/xa-a\n"), "{list}");
    node.stop();
}

#[test]
fn counts_of_a_removed_site_are_listed_and_exported() {
    let redis = Redis::start();
    let place = Place::new(&(site("a", "") + &site("b", "")));
    let start = |place: &Place| place.start(&["--redis", &redis.url()]);
    let node = start(&place);
    (0..3).for_each(|_| assert_eq!(hit(&node, "b", "/tin").status, 200));
    until("they are in Redis", LONG, || redis.cli(&["HGET", "thongke:{b}:hits", "total"]) == "3");
    assert_eq!(place.run(&["sites", "list"]).1, "a  https://a.vn\nb  https://a.vn\n");
    assert_eq!(place.reload(&node, &site("a", "")).status, 200);
    assert_eq!(hit(&node, "b", "/tin").status, 404);
    let exported = place.run(&["export", "b"]);
    assert!(exported.0 == 0 && exported.1.contains("total,,3\n"), "{exported:?}");
    let sources = place.run(&["sources", "b", "--json"]);
    assert!(sources.0 == 0 && sources.1.contains("\"total\":3"), "{sources:?}");
    let listed = "a  https://a.vn\nb  (removed; has counts)\n";
    assert_eq!(place.run(&["sites", "list"]).1, listed);
    // A node that never had the site reads it from Redis.
    let other = Place::new(&site("a", ""));
    let new = start(&other);
    let read = || other.run(&["export", "b"]);
    until("it reads them", LONG, || read().1.contains("total,,3\n"));
    assert!(read().1.starts_with("period,page,hits\n"));
    assert_eq!(other.run(&["sites", "list"]).1, listed);
    let unknown = new.admin_get("/sites/nowhere/export").problem(404);
    assert!(unknown.contains("there is no site `nowhere`"), "{unknown}");
    new.stop();
    node.stop();
    assert_eq!(place.run(&["sites", "list"]).1, listed);
    assert_eq!(place.run(&["export", "b"]), exported);
    let unknown = place.run(&["export", "nowhere"]);
    assert!(unknown.0 == 1 && unknown.1.contains("there is no site `nowhere`"), "{unknown:?}");
    // It comes back with its counts.
    place.write(&(site("a", "") + &site("b", "")));
    let node = start(&place);
    assert_eq!(total(&node, "b"), ("b".to_owned(), 3));
    node.stop();
}

fn sites_dir(place: &Place, sites: &[(&str, &str)]) -> PathBuf {
    let folder = place.0.path().join("sites.d");
    std::fs::create_dir(&folder).unwrap();
    for (id, more) in sites {
        std::fs::write(folder.join(format!("{id}.toml")), format!("origins = [\"https://a.vn\"]\n{more}\n")).unwrap();
    }
    folder
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_command_renames_a_site_and_no_hit_is_lost() {
    let place = Place::new("sites_dir = \"sites.d\"\n");
    let folder = sites_dir(&place, &[("a", "# Xã A\nfigures = [\"total\"]"), ("b", "")]);
    let node = place.start(&[]);
    assert_eq!(hit(&node, "a", "/tin").status, 200);
    let mut hits = 1;
    for (from, to) in [("a", "xa-a"), ("xa-a", "phuong-a")] {
        let (code, said) = place.run(&["sites", "rename", from, to]);
        assert!(code == 0 && said.contains("with all its counts"), "{said}");
        until("the new id counts", LONG, || {
            assert_eq!(hit(&node, "a", "/tin").status, 200);
            hits += 1;
            let answer = hit(&node, to, "/tin");
            hits += i64::from(answer.status == 200);
            answer.status == 200
        });
        assert_eq!(total(&node, from), (to.to_owned(), hits));
    }
    assert_eq!(names(&folder), ["b.toml", "phuong-a.toml"]);
    // The files are gone for longer than a node waits.
    std::thread::sleep(Duration::from_secs(7));
    assert_eq!(total(&node, "a"), ("phuong-a".to_owned(), hits));
    let (_, shown) = place.run(&["sites", "show", "xa-a"]);
    assert!(shown.contains("# Xã A") && shown.contains("data-site=\"phuong-a\""), "{shown}");
    for (arguments, code, expected) in [
        (&["rename", "b", "a"][..], 1, "`a` is an id of site `phuong-a`; nothing was changed"),
        (&["rename", "nowhere", "c"], 1, "there is no site `nowhere`"),
        (&["rename", "xa-a", "c"], 1, "`xa-a` is an alias of site `phuong-a`"),
        (&["add", "xa-a", "--origin", "https://c.vn"], 1, "`xa-a` is an alias of site `phuong-a`"),
        (&["set", "b", "aliases+=a"], 1, "`a` is an alias of site `phuong-a` as well, at"),
        (&["set", "b", "aliases+=phuong-a"], 1, "is the id of the site at"),
        (&["set", "b", "paths+=xa-b"], 1, "begins with no slash"),
        (&["check"], 0, "2 sites can be used"),
    ] {
        let (found, said) = place.run(&[&["sites"], arguments].concat());
        assert_eq!(found, code, "{arguments:?}: {said}");
        assert!(said.contains(expected), "{arguments:?}: {said}");
    }
    assert!(!node.log().contains("reload failed"), "{}", node.log());
    node.stop();
}

#[test]
fn a_renamed_site_gets_a_former_id_back_and_is_removed_at_once() {
    let place = Place::new("sites_dir = \"sites.d\"\n");
    let folder = sites_dir(&place, &[("a", "figures = [\"total\"]"), ("b", "")]);
    let node = place.start(&[]);
    assert_eq!(hit(&node, "a", "/tin").status, 200);
    for [from, to] in [["a", "xa-a"], ["xa-a", "phuong-a"], ["phuong-a", "xa-a"], ["xa-a", "a"]] {
        let (code, said) = place.run(&["sites", "rename", from, to]);
        assert!(code == 0 && said.contains("with all its counts"), "{said}");
        until("the site has the id", LONG, || total(&node, "a") == (to.to_owned(), 1));
        assert_eq!(total(&node, from), (to.to_owned(), 1));
    }
    assert_eq!(names(&folder), ["a.toml", "b.toml"]);
    let text = std::fs::read_to_string(folder.join("a.toml")).unwrap();
    assert!(!text.contains("counted_as") && text.contains("\"phuong-a\"") && text.contains("\"xa-a\""), "{text}");
    // The former file's time isn't over.
    assert_eq!(place.run(&["sites", "remove", "a"]).0, 0);
    until("the site is gone", LONG, || node.get("/v1/sites/a/figures").status == 404);
    assert!(!node.log().contains("are gone at once"), "{}", node.log());
    node.stop();
}

#[test]
fn the_settings_in_force_are_printed_with_their_origins() {
    let place = Place::new(&format!("listen = \"127.0.0.1:0\"\n{}", site("a", "")));
    let config = place.config();
    let (code, said) = place.run(&["config", "--redis", "redis://:hunter2@127.0.0.1:1"]);
    assert_eq!(code, 0, "{said}");
    for line in [
        format!("listen = \"127.0.0.1:0\"  # {}:1\n", config.display()),
        format!("data_dir = \"{}\"  # --data-dir\n", place.0.path().join("data").display()),
        "redis = [\"redis://:(hidden)@127.0.0.1:1\"]  # --redis\n".to_owned(),
        format!("[sites.a]  # {}:2\n", config.display()),
    ] {
        assert!(said.contains(&line), "{line}{said}");
    }
    assert!(!said.contains("hunter2"), "{said}");
    // What is printed is a configuration.
    let (_, printed) = place.run(&["config"]);
    place.write(&printed);
    let again = place.run(&["config"]).1;
    let settings =
        |text: &str| text.lines().map(|line| line.split("  # ").next().unwrap().to_owned()).collect::<Vec<_>>();
    assert_eq!(settings(&again), settings(&printed));
    place.write("lisen = 1\n");
    let (code, said) = place.run(&["config"]);
    assert!(code == 2 && said.contains("thongke.toml:1:1: unknown key `lisen`; did you mean `listen`?"), "{said}");
}
