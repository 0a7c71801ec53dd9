use std::path::Path;
use std::time::Duration;

use super::*;
use crate::counter::PublicPart;
use crate::counter::site::FilteredBots;
use crate::server::ForwardedField;
use crate::server::hit::{Per, Rate, WhenExceeded};

fn environment(variables: &[(&str, &str)]) -> Environment {
    variables.iter().map(|(name, value)| ((*name).to_owned(), value.into())).collect()
}

fn load_text(text: &str) -> Result<Config, String> {
    let directory = tempfile::TempDir::new().unwrap();
    let path = directory.path().join("thongke.toml");
    std::fs::write(&path, text).unwrap();
    let flags = Flags { config: Some(path), ..Flags::default() };
    let loaded = Config::load(&flags, &environment(&[])).map_err(|error| error.to_string());
    // Its folder is another each time.
    loaded.map(|config| Config { file: None, ..config })
}

fn refusal(text: &str) -> String {
    load_text(text).unwrap_err()
}

const SITE: &str = "[sites.a]\norigins = [\"https://a.vn\"]\n";

#[test]
fn without_anything_there_is_a_demo_on_this_machine() {
    let config = Config::load(&Flags::default(), &environment(&[])).unwrap();
    assert!(config.is_demo && config.listen.to_string() == "127.0.0.1:8080");
    assert_eq!(config.sites[0].id.as_str(), "demo");
}

#[test]
fn a_flag_beats_the_environment_and_that_the_file() {
    let directory = tempfile::TempDir::new().unwrap();
    let path = directory.path().join("t.toml");
    std::fs::write(
        &path,
        format!("listen = \"127.0.0.1:1\"\nadmin_listen = \"127.0.0.1:4\"\ndata_dir = \"/1\"\n{SITE}"),
    )
    .unwrap();
    let flags = Flags { config: Some(path), listen: Some("127.0.0.1:3".to_owned()), ..Flags::default() };
    let env = environment(&[("THONGKE_LISTEN", "127.0.0.1:2"), ("THONGKE_ADMIN_LISTEN", "127.0.0.1:2")]);
    let config = Config::load(&flags, &env).unwrap();
    assert_eq!((config.listen.to_string(), config.admin_listen.port()), ("127.0.0.1:3".to_owned(), 2));
    assert_eq!(config.data_dir, Path::new("/1"));
}

/// Each text with its only problem, without the file's name.
const WRONG: &[(&str, &str)] = &[
    // Keys.
    ("{SITE}orgins = []\n", ":3:1: unknown key `orgins`; did you mean `origins`?"),
    ("lisen = 1\n{SITE}", ":1:1: unknown key `lisen`; did you mean `listen`?"),
    ("zzz = 1\n{SITE}", ":1:1: unknown key `zzz`; expected one of listen, admin_listen, data_dir, redis,"),
    ("{SITE}listen = \"a:1\"\n", ":3:1: unknown key `listen`; it is not a site's: put it at the top of the file"),
    ("page_days = 4\n{SITE}", ":1:1: unknown key `page_days`; it belongs to a site"),
    ("{SITE}[site.b]\n", ":3:2: unknown key `site`; did you mean `sites`?"),
    ("{SITE}[limits]\nenabld = true\n", ":4:1: unknown key `enabld`; did you mean `enabled`?"),
    ("{SITE}[sites.a.vn]\nname = \"x\"\n", ":3:10: unknown key `vn`; a site id has no dots: `[sites.a-vn]`?"),
    // Kinds.
    (
        "listen = 9000\n{SITE}",
        ":1:10: listen: expected an address and a port such as `\"127.0.0.1:9000\"`, found a whole number",
    ),
    (
        "redis = \"redis://h\"\n{SITE}",
        ":1:9: redis: expected a list in brackets such as `[\"redis://127.0.0.1:6379\"]`, found a string",
    ),
    (
        "redis = [1]\n{SITE}",
        ":1:10: redis: expected a string such as `\"redis://127.0.0.1:6379\"`, found a whole number",
    ),
    (
        "redis_allow_eviction = \"true\"\n{SITE}",
        ":1:24: redis_allow_eviction: expected `true` or `false`, without quotes, found a string",
    ),
    (
        "{SITE}page_days = \"40\"\n",
        ":3:13: page_days: expected a whole number from 1 to 36525, without quotes, found a string",
    ),
    ("{SITE}labels = \"x\"\n", ":3:10: labels: expected a table such as `{ month = \"Tháng này\" }`, found a string"),
    (
        "[sites]\na = \"https://a.vn\"\n",
        ":2:5: a: expected a table that begins with a line such as `[sites.my-portal]`, found a string",
    ),
    ("[[sites]]\nname = \"x\"\n", ": sites: expected tables such as `[sites.my-portal]`, found a list"),
    // Values.
    ("listen = \"8080\"\n{SITE}", ":1:10: listen: `8080` is a port alone; did you mean `127.0.0.1:8080`?"),
    ("listen = \":8080\"\n{SITE}", ":1:10: listen: `:8080` names no address; did you mean `0.0.0.0:8080`"),
    ("listen = \"::1:8080\"\n{SITE}", ":1:10: listen: `::1:8080` is an IPv6 address without brackets"),
    ("listen = \"localhost\"\n{SITE}", ":1:10: listen: `localhost` has no port"),
    ("listen = \"localhost:99999\"\n{SITE}", ":1:10: listen: `localhost:99999` has `99999` where a port"),
    ("listen = \"http://a:1\"\n{SITE}", ":1:10: listen: `http://a:1` has a scheme"),
    ("data_dir = \"\"\n{SITE}", ":1:12: data_dir: expected the path of a file or folder, or no such line"),
    (
        "dashboard = \"nowhere\"\n{SITE}",
        ":1:13: dashboard: `nowhere` is no place of the editors' pages; expected `admin`, `public` or `off`",
    ),
    (
        "\n\npath_prefix = \"tk/\"\n{SITE}",
        ":3:15: path_prefix: found `tk/`; expected nothing, or a path such as `/tk` with a slash before it and none after it; did you mean `/tk`?",
    ),
    ("\nredis_prefix = \"a{b}\"\n{SITE}", ":2:16: redis_prefix: found `a{b}`; expected a name"),
    ("redis = [\"http://h\"]\n{SITE}", ":1:10: redis: the Redis address `http://h` has an unknown scheme"),
    ("redis = [\"redis://a\", \"redis://b\"]\n{SITE}", ":1:9: redis: the Redis address `redis://b` is a second server"),
    ("admin_token_file = \"nowhere\"\n{SITE}", ":1:20: admin_token_file: can't read the secret in "),
    (
        "trusted_proxies = [\"10.0.0.1\", \"10.0.0.1/8\"]\n{SITE}",
        ":1:32: trusted_proxies: `10.0.0.1/8` names one address and a whole network; did you mean `10.0.0.0/8`, or `10.0.0.1` alone?",
    ),
    (
        "trusted_proxies_field = \"X-Real-IP\"\n{SITE}",
        ":1:25: trusted_proxies_field: `X-Real-IP` is no header that can be read; expected",
    ),
    (
        "listen = \"unix:http.sock\"\n{SITE}",
        ":1:10: listen: `unix:http.sock` names no file from the root on; expected for example `unix:/run",
    ),
    (
        "{SITE}exclude_addresses = [\"10.1.0.1/16\"]\n",
        ":3:22: exclude_addresses: `10.1.0.1/16` names one address and a whole network; did you mean `10.1.0.0/16`, or `10.1.0.1` alone?",
    ),
    (
        "{SITE}exclude_addresses = [\"office\"]\n",
        ":3:22: exclude_addresses: `office` is neither an address nor a network; expected for example `10.0.0.0/8`, `10.1.2.3` or `fd00::/8`",
    ),
    ("{SITE}exclude_addresses = [\"10.1.0.0/16\", \"10.1.0.0/16\"]\n", "is named twice"),
    ("trusted_proxies = [\"nginx\"]\n{SITE}", ":1:20: trusted_proxies: `nginx` is neither an address nor a network"),
    (
        "{SITE}time_zone = \"Asia/Hanoi\"\n",
        ":3:13: time_zone: `Asia/Hanoi` is not an IANA time zone; did you mean `Asia/Ho_Chi_Minh`?",
    ),
    (
        "{SITE}time_zone = \"Europe/Pariss\"\n",
        ":3:13: time_zone: `Europe/Pariss` is not an IANA time zone; did you mean `Europe/Paris`?",
    ),
    ("{SITE}language = \"fr\"\n", ":3:12: language: `fr` is not a language: expected vi or en"),
    (
        "{SITE}language = \"vi-VN\"\n",
        ":3:12: language: `vi-VN` is not a language: expected vi or en; did you mean `vi`?",
    ),
    (
        "{SITE}figures = [\"today\", \"todai\"]\n",
        ":3:21: figures: `todai` is not a figure: expected one of today, yesterday, week, last_week, month, last_month, year, last_year, total, online, visitors_today, visitors_yesterday; did you mean `today`?",
    ),
    ("{SITE}figures = [\"today\", \"today\"]\n", ":3:21: figures: `today` is named twice"),
    ("{SITE}figures = []\n", ":3:11: figures: it is empty; name the box's figures"),
    ("{SITE}labels = { moth = \"x\" }\n", ":3:12: `moth` is not a figure"),
    ("{SITE}labels = { month = 1 }\n", ":3:20: month: expected a string in quotes, found a whole number"),
    (
        "{SITE}figures = [\"today\", \"online\"]\nvisitors = false\n",
        ":4:12: visitors: false, but `figures` names `online`, a number of visitors: leave one of them out",
    ),
    ("{SITE}page_params = [\"id\", \"\"]\n", ":3:22: page_params: a pattern is empty"),
    ("{SITE}page_params = [\"id\", \"ID\"]\n", ":3:22: page_params: `id` is named twice"),
    ("{SITE}page_params = [\"a*b*\"]\n", ":3:16: page_params: `a*b*` is no pattern: expected at most one `*`"),
    ("{SITE}page_params_ignored = [1]\n", ":3:24: page_params_ignored: expected a string"),
    (
        "{SITE}page_case = \"lower\"\n",
        ":3:13: page_case: `lower` is no way to compare paths: expected auto, keep or fold",
    ),
    ("{SITE}page_days = 0\n", ":3:13: page_days: expected a whole number from 1 to 36525, found 0"),
    ("{SITE}page_months = 1201\n", ":3:15: page_months: expected a whole number from 1 to 1200, found 1201"),
    ("{SITE}label_style = \"curent\"\n", ":3:15: label_style: `curent` is not a style of labels: expected dated"),
    ("{SITE}label_style = \"curent\"\n", "did you mean `current`?"),
    ("{SITE}labels = { title = 1 }\n", ":3:20: title: expected a string in quotes, found a whole number"),
    ("{SITE}page_cap = -1\n", ":3:12: page_cap: expected a whole number from 1 to 4294967295, found -1"),
    (
        "{SITE}repeat_window = \"30\"\n",
        ":3:17: repeat_window: `30` has no unit; did you mean `30s` (seconds) or `30m` (minutes)?",
    ),
    ("{SITE}repeat_window = \"2d\"\n", ":3:17: repeat_window: `2d` is longer than a day"),
    ("{SITE}repeat_window = \"soon\"\n", ":3:17: repeat_window: `soon` is not a duration"),
    ("{SITE}repeat_window = 30\n", ":3:17: repeat_window: expected a string such as `\"30m\"`, found a whole number"),
    // Sites.
    (
        "[sites.Vi_Xuyen]\norigins = [\"https://a.vn\"]\n",
        ":1:8: `Vi_Xuyen` is not a site id: expected 1 to 63 of a-z, 0-9 and `-`, the first a letter or digit; did you mean `vi-xuyen`?",
    ),
    ("[sites.\"Vị Xuyên\"]\norigins = [\"https://a.vn\"]\n", "; did you mean `vi-xuyen`?"),
    ("[sites.a]\norigins = []\n", ":2:11: origins: site `a` has no origins"),
    (
        "\n[sites.a]\nname = \"x\"\n",
        ":2:8: site `a` has no origins; name those of its pages, for example `origins = [\"https://portal.example.vn\"]`",
    ),
    (
        "[sites.a]\norigins = \"https://a.vn\"\n",
        ":2:11: origins: expected a list in brackets such as `[\"https://portal.example.vn\"]`, found a string",
    ),
    (
        "[sites.a]\norigins = [\"a.vn\"]\n",
        ":2:12: origins: `a.vn` is not an origin: it has no scheme; expected for example `https://portal.example.vn`, `https://*.example.vn` or `http://localhost:8080`; did you mean `https://a.vn`?",
    ),
    (
        "[sites.a]\norigins = [\"https://a.vn\", \"https://b.vn/tin\"]\n",
        ":2:28: origins: `https://b.vn/tin` is not an origin: it has more than scheme, host and port; expected",
    ),
    ("listen = \"127.0.0.1:1\"\n\n", ":1:23: there is no site; add one as `[sites.my-portal]` with its `origins`"),
    ("", ":1:1: there is no site"),
    ("\n[sites]\n", ":2:1: there is no site"),
    ("[sites.a]\norigin = [\"https://a.vn\"]\n", ":2:1: unknown key `origin`; did you mean `origins`?"),
    ("{SITE}aliases = [\"a\"]\n", ":3:12: `a` is the site's own id; leave it out"),
    ("{SITE}aliases = [\"b\", \"b\"]\n", ":3:17: aliases: `b` is named twice"),
    ("{SITE}aliases = [\"Xa_B\"]\n", ":3:12: aliases: `Xa_B` is not a site id: expected 1 to 63"),
    ("{SITE}aliases = [\"Xa_B\"]\n", "; did you mean `xa-b`?"),
    ("{SITE}counted_as = [\"b\"]\n", ":3:14: counted_as: expected a string such as `\"my-portal\"`, found a list"),
    ("{SITE}paths = [\"xa-a\"]\n", ":3:10: paths: `xa-a` is no path of pages: it begins with no slash; expected for"),
    ("{SITE}paths = [\"/\"]\n", ":3:10: paths: `/` is no path of pages: all pages lie under it, as they do without"),
    ("{SITE}paths = [\"/xa-a\", \"/xa-a/\"]\n", ":3:19: paths: `/xa-a` is named twice"),
    // Syntax.
    ("{SITE}name = Huyện Vị Xuyên\n", "; expected for example text in straight quotes: `name = \"…\"`"),
    ("{SITE}name = “Huyện”\n", ":3:8: "),
    ("listen = 127.0.0.1:8080 # here\n{SITE}", "text in straight quotes: `listen = \"…\"`"),
    ("{SITE}repeat_window = 30m\n", "text in straight quotes: `repeat_window = \"…\"`"),
    ("redis_allow_eviction = yes\n{SITE}", "; expected for example `true`, in lower case"),
    ("redis_allow_eviction = False\n{SITE}", "; expected for example `false`, in lower case"),
    ("listen = \n{SITE}", "; expected for example a value after `=`, or no such line"),
    ("listen: \"a:1\"\n{SITE}", "; expected for example `listen = …`"),
    ("listen \"a:1\"\n{SITE}", "; expected for example `listen = …`"),
    ("{SITE}name = \"x\n", ":3:10: "),
    ("[sites.a\norigins = [\"https://a.vn\"]\n", ":1:9: "),
    ("{SITE}name = \"x\"\nname = \"y\"\n", ":4:1: "),
    ("data_dir = \"C:\\u\"\n{SITE}", "text with a backslash in single quotes"),
    // Values and keys that look like others.
    ("{SITE}bots = \"no\"\n", ":3:8: bots: expected \"all\" (counts readers only)"),
    ("{SITE}bot = true\n", ":3:1: unknown key `bot`; did you mean `bots`?"),
    // Two sites in one file that listens twice on one port.
    ("listen = \"0.0.0.0:9\"\nadmin_listen = \"127.0.0.1:9\"\n{SITE}", "a port of its own"),
];

#[test]
fn what_is_wrong_is_named_with_its_place_and_what_would_be_right() {
    let mut failures = String::new();
    for (text, says) in WRONG {
        let text = text.replace("{SITE}", SITE);
        let refusal = refusal(&text);
        // One problem, and nothing that only follows from it.
        if !refusal.contains(says) || refusal.contains('\n') {
            failures.push_str(&format!("--- {text}expected {says}\nfound {refusal}\n"));
        }
    }
    assert!(failures.is_empty(), "{failures}");
}

#[test]
fn all_problems_are_told_at_once_in_the_order_of_the_file() {
    let text =
        "lisen = 1\npath_prefix = \"tk\"\nname = \"Huyện\"\n[sites.B]\norigins = []\n[sites.a]\norigins = [\"a.vn\"]\n";
    let refusal = refusal(text);
    let places: Vec<_> = refusal.lines().skip(1).map(|line| line.split(": ").next().unwrap()).collect();
    let expected = ["1:1", "2:15", "3:1", "4:8", "5:11", "7:12"];
    assert_eq!(places.len(), expected.len(), "{refusal}");
    for (place, end) in places.iter().zip(expected) {
        assert!(place.ends_with(&format!("thongke.toml:{end}")), "{refusal}");
    }
}

#[test]
fn of_very_many_problems_the_first_twenty_are_told() {
    let mut text = String::new();
    for n in 0..30 {
        text.push_str(&format!("[sites.s{n}]\norigins = [\"https://a.vn\"]\nlanguage = \"fr\"\n"));
    }
    let refusal = refusal(&text);
    assert_eq!(refusal.lines().count(), 22, "{refusal}");
    assert!(refusal.contains(":3:12: ") && refusal.contains(":60:12: ") && !refusal.contains(":63:12: "), "{refusal}");
    assert!(refusal.ends_with("\nand 10 more"), "{refusal}");
}

#[test]
fn a_file_that_is_not_utf_8_is_refused_where_it_ceases_to_be() {
    let directory = tempfile::TempDir::new().unwrap();
    let path = directory.path().join("thongke.toml");
    std::fs::write(&path, b"# Hu\xe1\xbb\x87n\n# Hu\xea\xf2n\n").unwrap();
    let flags = Flags { config: Some(path), ..Flags::default() };
    let refusal = Config::load(&flags, &environment(&[])).unwrap_err().to_string();
    assert!(refusal.contains(":2:5: the file is not in UTF-8 from here on"), "{refusal}");
}

#[test]
fn the_environment_is_checked_too() {
    let refusal = |variables: &[(&str, &str)]| {
        Config::load(&Flags::default(), &environment(variables)).map(|_| ()).map_err(|error| error.to_string())
    };
    for (name, value, says) in [
        ("THONGKE_LISTN", "x", "unknown environment variable THONGKE_LISTN; did you mean `THONGKE_LISTEN`?"),
        ("THONGKE_DATADIR", "x", "unknown environment variable THONGKE_DATADIR; did you mean `THONGKE_DATA_DIR`?"),
        ("THONGKE_SECRET_THING", "x", "expected one of THONGKE_CONFIG, THONGKE_LISTEN"),
        ("THONGKE_LISTEN", "", "THONGKE_LISTEN is empty; give it a value, or leave the variable out"),
        ("THONGKE_LISTEN", "8080", "THONGKE_LISTEN `8080` is a port alone; did you mean `127.0.0.1:8080`?"),
        ("THONGKE_REDIS", "http://h", "THONGKE_REDIS: the Redis address `http://h` has an unknown scheme"),
        ("THONGKE_LOG_FORMAT", "xml", "THONGKE_LOG_FORMAT is `xml`; expected text or json"),
        ("THONGKE_LOG", "a=b=c", "THONGKE_LOG is `a=b=c`"),
        ("THONGKE_LOG", "warning", "THONGKE_LOG is `warning`: `warning` is neither a level nor"),
    ] {
        let refusal = refusal(&[(name, value)]).unwrap_err();
        assert!(refusal.contains(says), "{refusal}");
    }
    // What Kubernetes sets for services called `thongke` and `thongke-redis`.
    for name in [
        "THONGKE_SERVICE_HOST",
        "THONGKE_SERVICE_PORT",
        "THONGKE_SERVICE_PORT_HTTP",
        "THONGKE_PORT",
        "THONGKE_PORT_8080_TCP",
        "THONGKE_PORT_8080_TCP_ADDR",
        "THONGKE_REDIS_SERVICE_HOST",
        "THONGKE_REDIS_PORT_6379_TCP_PROTO",
        "HOME",
    ] {
        assert_eq!(refusal(&[(name, "tcp://10.0.0.1:8080")]), Ok(()), "{name}");
    }
}

#[test]
fn an_empty_redis_variable_means_none_whatever_the_file_says() {
    let directory = tempfile::TempDir::new().unwrap();
    let path = directory.path().join("thongke.toml");
    std::fs::write(&path, format!("redis = [\"redis://h\"]\n{SITE}")).unwrap();
    let flags = Flags { config: Some(path), ..Flags::default() };
    let redis = |variables: &[(&str, &str)]| Config::load(&flags, &environment(variables)).unwrap().redis.len();
    assert_eq!((redis(&[]), redis(&[("THONGKE_REDIS", "")])), (1, 0));
}

#[test]
fn a_path_in_the_file_starts_at_the_file_and_others_where_the_program_runs() {
    let directory = tempfile::TempDir::new().unwrap();
    let path = directory.path().join("thongke.toml");
    std::fs::write(directory.path().join("token"), "geheim-geheim-geheim\n").unwrap();
    std::fs::write(&path, format!("data_dir = \"counts\"\nadmin_token_file = \"token\"\n{SITE}")).unwrap();
    let flags = Flags { config: Some(path), ..Flags::default() };
    let config = Config::load(&flags, &environment(&[])).unwrap();
    assert_eq!(config.data_dir, directory.path().join("counts"));
    assert_eq!(config.admin_token.unwrap().expose(), "geheim-geheim-geheim");
    let config = Config::load(&flags, &environment(&[("THONGKE_DATA_DIR", "counts")])).unwrap();
    assert_eq!(config.data_dir, Path::new("counts"));
}

#[test]
fn tokens_are_long_and_differ() {
    let load = |write: &str, read: Option<&str>| {
        let directory = tempfile::TempDir::new().unwrap();
        let path = directory.path().join("thongke.toml");
        std::fs::write(directory.path().join("write"), write).unwrap();
        std::fs::write(directory.path().join("read"), read.unwrap_or_default()).unwrap();
        let read = if read.is_some() { "admin_read_token_file = \"read\"\n" } else { "" };
        std::fs::write(&path, format!("admin_token_file = \"write\"\n{read}{SITE}")).unwrap();
        let loaded = Config::load(&Flags { config: Some(path), ..Flags::default() }, &environment(&[]));
        loaded.map(drop).map_err(|error| error.to_string())
    };
    let (long, other) = ("0123456789abcdef", "fedcba9876543210");
    assert_eq!([load(long, None), load(long, Some(other))], [Ok(()), Ok(())]);
    for (write, read, says) in [
        (
            "0123456789abcde",
            None,
            "admin_token_file: the token has 15 characters, which can be guessed; use 16 at least",
        ),
        ("ệệ", None, "admin_token_file: the token has 2 characters"),
        (long, Some("short"), "admin_read_token_file: the token has 5 characters"),
        (long, Some(long), "admin_read_token_file: its token is that of admin_token_file"),
    ] {
        let error = load(write, read).unwrap_err();
        assert!(error.contains(says) && !error.contains(write), "{error}");
    }
}

#[test]
fn sites_that_say_nothing_of_their_pages_share_one_rule() {
    let config = load_text(&format!("{SITE}[sites.b]\norigins = [\"https://b.vn\"]\n")).unwrap();
    assert!(std::sync::Arc::ptr_eq(&config.sites[0].page_rules, &config.sites[1].page_rules));
}

#[test]
fn an_unreadable_file_is_named() {
    let flags = Flags { config: Some("/nowhere/thongke.toml".into()), ..Flags::default() };
    assert!(Config::load(&flags, &environment(&[])).unwrap_err().to_string().contains("/nowhere/thongke.toml"));
}

#[test]
fn a_secret_is_one_line_of_a_file() {
    let directory = tempfile::TempDir::new().unwrap();
    let path = directory.path().join("secret");
    let read = |text: &str| {
        std::fs::write(&path, text).unwrap();
        secret::read(&path).map(|secret| secret.expose().to_owned())
    };
    assert_eq!(read(" geheim\r\n").unwrap(), "geheim");
    assert!(read("\n").unwrap_err().contains("is empty"));
    let refusal = read("geheim\nnoch eins\n").unwrap_err();
    assert!(refusal.contains("holds more than one line") && !refusal.contains("geheim"), "{refusal}");
}

#[test]
fn a_password_is_never_printed() {
    let config = load_text(&format!("redis = [\"redis://u:geheim@localhost:1\"]\n{SITE}")).unwrap();
    assert!(!format!("{config:?}").contains("geheim"));
    for redis in [
        "\"redis://u:geheim@h\"",
        "[\"http://u:geheim@h\"]",
        "[\"redis://:geheim@h\", \"redis://h2\"]",
        "redis://:geheim@h",
        "[redis://:geheim@h]",
    ] {
        for separator in ["=", ":", ""] {
            let refusal = refusal(&format!("redis {separator} {redis}\n{SITE}"));
            assert!(!refusal.contains("geheim"), "{refusal}");
        }
    }
}

/// The settings in force of a configuration, loaded again.
fn again(flags: &Flags, environment: &Environment) -> (Config, Config, String) {
    let config = Config::load(flags, environment).unwrap();
    let shown = in_force(&config, flags, environment);
    let directory = tempfile::TempDir::new().unwrap();
    let path = directory.path().join("again.toml");
    std::fs::write(&path, &shown).unwrap();
    let again = Config::load(&Flags { config: Some(path), ..Flags::default() }, &Environment::default());
    let again = again.unwrap_or_else(|error| panic!("{error}\n{shown}"));
    let without_places = |config| Config { site_places: Vec::new(), aliases: Vec::new(), ..config };
    (without_places(config), without_places(again), shown)
}

#[test]
fn what_is_in_force_can_be_loaded_again_and_is_the_same() {
    let directory = tempfile::TempDir::new().unwrap();
    let path = directory.path().join("thongke.toml");
    for text in [
        SITE.to_owned(),
        EVERY_KEY.to_owned(),
        format!(
            "{SITE}bots = \"none\"\npage_params = []\nlabels = {{ title = '\"Xã\" \\ A' }}\n[limits]\nenabled = false\n"
        ),
        format!(
            "admin_listen = \"0.0.0.0:1\"\nadmin_open = true\ndata_dir = \"d\"\n{SITE}figures = [\"online\"]\npublic = []\n"
        ),
    ] {
        std::fs::write(&path, &text).unwrap();
        let flags = Flags { config: Some(path.clone()), data_dir: Some("/d".into()), ..Flags::default() };
        let (config, again, shown) = again(&flags, &Environment::default());
        assert_eq!(config, Config { file: config.file.clone(), ..again }, "{shown}");
    }
    std::fs::create_dir(directory.path().join("sites.d")).unwrap();
    std::fs::write(directory.path().join("sites.d/b.toml"), "origins = [\"https://b.vn\"]\n").unwrap();
    std::fs::write(&path, format!("sites_dir = \"sites.d\"\n{SITE}")).unwrap();
    let flags = Flags { config: Some(path), ..Flags::default() };
    let (config, again, shown) = again(&flags, &Environment::default());
    assert_eq!((config.sites.len(), config.sites), (2, again.sites), "{shown}");
    assert!(shown.contains("sites.d\"  # ") && shown.contains("# name is not set\n"), "{shown}");
}

#[test]
fn each_setting_in_force_names_its_origin_and_no_secret_is_shown() {
    let directory = tempfile::TempDir::new().unwrap();
    let at = |name: &str| directory.path().join(name);
    std::fs::create_dir(at("sites.d")).unwrap();
    std::fs::write(at("sites.d/b.toml"), "# B\norigins = [\"https://b.vn\"]\n").unwrap();
    std::fs::write(at("token"), "0123456789abcdef").unwrap();
    let text = "listen = \"127.0.0.1:1\"\nadmin_listen = \"127.0.0.1:2\"\n\nadmin_token_file = \"token\"\n\
                sites_dir = \"sites.d\"\nredis = [\n  \"redis://:hunter2@h\",\n]\n[limits]\nidle_timeout = \"90s\"\n[sites.a]\n\
                origins = [\"https://a.vn\"]\n";
    std::fs::write(at("thongke.toml"), text).unwrap();
    let flags = Flags { config: Some(at("thongke.toml")), listen: Some("127.0.0.1:3".to_owned()), ..Flags::default() };
    let variables = environment(&[("THONGKE_ADMIN_LISTEN", "127.0.0.1:4"), ("THONGKE_LISTEN", "127.0.0.1:5")]);
    let config = Config::load(&flags, &variables).unwrap();
    let shown = in_force(&config, &flags, &variables);
    let place = |name: &str, line: u32| format!("  # {}:{line}\n", at(name).display());
    for line in [
        "listen = \"127.0.0.1:3\"  # --listen\n".to_owned(),
        "admin_listen = \"127.0.0.1:4\"  # THONGKE_ADMIN_LISTEN\n".to_owned(),
        format!("admin_token_file = \"{}\"{}", at("token").display(), place("thongke.toml", 4)),
        format!("redis = [\"redis://:(hidden)@h\"]{}", place("thongke.toml", 6)),
        "redis_prefix = \"thongke\"  # default\n".to_owned(),
        "# redis_password_file is not set\n".to_owned(),
        format!("idle_timeout = \"1m 30s\"{}", place("thongke.toml", 10)),
        format!("[sites.a]{}", place("thongke.toml", 11)),
        format!("origins = [\"https://a.vn\"]{}", place("thongke.toml", 12)),
        format!("[sites.b]{}", place("sites.d/b.toml", 1)),
        format!("origins = [\"https://b.vn\"]{}", place("sites.d/b.toml", 2)),
        "page_cap = 100000  # default\n".to_owned(),
        "# log = \"info\"  # default; a flag or variable only\n".to_owned(),
    ] {
        assert!(shown.contains(&line), "{line}{shown}");
    }
    assert!(!shown.contains("hunter2") && !shown.contains("0123456789abcdef"), "{shown}");
    assert!(shown.starts_with("# Passwords"), "{shown}");
    let demo = again(&Flags::default(), &Environment::default()).1;
    let covers = |url: &str| demo.sites[0].covers(&url::Url::parse(url).unwrap());
    assert!(covers("http://localhost:8080/") && covers("http://127.0.0.1/") && !covers("http://a.vn/"));
}

#[test]
fn an_id_is_of_one_site_and_both_places_are_named() {
    let two =
        |of_a: &str, of_b: &str| refusal(&format!("{SITE}{of_a}\n[sites.b]\norigins = [\"https://b.vn\"]\n{of_b}\n"));
    let id = two("", "aliases = [\"old\", \"a\"]");
    assert!(
        id.contains(":6:19: `a`, here of site `b`, is the id of the site at ") && id.contains(":1:8; leave"),
        "{id}"
    );
    let twice = two("aliases = [\"old\"]", "counted_as = \"old\"");
    assert!(twice.contains(":6:14: `old` is an alias of site `a` as well, at ") && twice.contains(":3:12"), "{twice}");
    let counts = two("counted_as = \"b\"", "");
    assert!(counts.contains(":3:14: `b`, here of site `a`, is the id of the site at "), "{counts}");
    let directory = tempfile::TempDir::new().unwrap();
    for (name, text) in [("a", "aliases = [\"x\", \"b\"]"), ("b", ""), ("c", "aliases = [\"x\"]")] {
        let text = format!("origins = [\"https://{name}.vn\"]\n{text}\n");
        std::fs::write(directory.path().join(format!("{name}.toml")), text).unwrap();
    }
    let flags = Flags { sites_dir: Some(directory.path().to_owned()), ..Flags::default() };
    let error = Config::load(&flags, &environment(&[])).unwrap_err().to_string();
    for said in ["a.toml:2:17: `b`, here of site `a`, is the id of the site at ", "b.toml:1:1", "c.toml:2:12: `x` is"] {
        assert!(error.contains(said), "{said}: {error}");
    }
}

#[test]
fn the_id_of_a_sites_counts_is_an_alias_too() {
    let site = |more: &str| load_text(&format!("{SITE}{more}")).unwrap().sites.remove(0);
    let id = |id: &str| id.parse::<SiteId>().unwrap();
    let usual = site("");
    assert_eq!((usual.counted_as, usual.aliases.len(), usual.paths), (id("a"), 0, None));
    let renamed = site("aliases = [\"b\"]\ncounted_as = \"c\"\n");
    assert_eq!((renamed.counted_as, renamed.aliases.to_vec()), (id("c"), vec![id("b"), id("c")]));
    let both = site("aliases = [\"b\", \"c\"]\ncounted_as = \"b\"\n");
    assert_eq!((both.counted_as, both.aliases.to_vec()), (id("b"), vec![id("b"), id("c")]));
    assert_eq!(site("counted_as = \"a\"\n").aliases.len(), 0);
    let config = load_text(&format!("{SITE}aliases = [\"b\"]\n")).unwrap();
    assert_eq!(config.site(&id("b")).map(|site| site.id.as_str()), Some("a"));
    assert!(config.site(&id("c")).is_none());
}

#[test]
fn the_help_names_the_defaults() {
    let help = <Flags as clap::Args>::augment_args(clap::Command::new("thongke")).render_long_help().to_string();
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    for default in
        [defaults::LISTEN.to_string(), defaults::ADMIN_LISTEN.to_string(), format!("./{}", defaults::DATA_DIR)]
    {
        assert!(help.contains(&format!("[default: {default}]")), "{default}: {help}");
    }
}

#[test]
fn the_documented_defaults_are_those_of_the_program() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let pages = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let pages = pages.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    let text: String = pages.map(|path| std::fs::read_to_string(path).unwrap()).collect();
    let code = |cell: &str| cell.trim().strip_prefix('`')?.strip_suffix('`').map(str::to_owned);
    let rows = text.lines().filter_map(|line| {
        let mut cells = line.split('|').skip(1);
        Some((code(cells.next()?)?, code(cells.next()?)?))
    });
    let rows: Vec<_> = rows.collect();
    let mut documented = 0;
    let [(_, root), (_, site), (_, limits), _] = keys();
    let mut settings = |keys: &[&str]| {
        let rows = rows.iter().filter(|(key, _)| *key != "data_dir" && keys.contains(&key.as_str()));
        let lines = rows.map(|(key, default)| {
            documented += 1;
            format!("{key} = {default}\n")
        });
        lines.collect::<String>()
    };
    let text = format!("{}{SITE}{}[limits]\n{}", settings(root), settings(site), settings(limits));
    let loaded = |text| load_text(text).map(|config| Config { site_places: Vec::new(), ..config });
    assert_eq!(loaded(&text), loaded(SITE), "{text}");
    assert!(documented > 25, "only {documented} defaults are documented");
}

const EVERY_KEY: &str = r#"
listen = "0.0.0.0:8080"
admin_listen = "127.0.0.1:8081"
data_dir = "/var/lib/thongke"
redis = ["redis://10.0.0.5:6379"]
redis_prefix = "tk"
redis_allow_eviction = true
path_prefix = "/tk"
trusted_proxies = ["10.0.0.0/8", "unix:"]
trusted_proxies_field = "Forwarded"
dashboard_http = true

[sites.vixuyen]
name = "Huyện Vị Xuyên"
origins = ["https://vixuyen.example.gov.vn"]
time_zone = "Asia/Ho_Chi_Minh"
language = "vi"
figures = ["today", "yesterday", "month", "year"]
label_style = "relative"
labels = { month = "Tháng này", title = "Số lượt xem" }
page_params = ["id", "nv", "op*"]
page_params_ignored = ["nvx", "utm_*"]
page_case = "fold"
page_cap = 100000
vouching_networks = 3
page_days = 40
page_months = 24
public = ["figures", "page", "top", "history"]
bots = true
exclude_addresses = ["10.1.0.0/16", "2001:db8::/32", "192.0.2.7"]
repeat_window = "0s"
aliases = ["vi-xuyen", "huyen-vi-xuyen"]
counted_as = "vi-xuyen"
paths = ["/vi-xuyen"]

[limits]
enabled = true
address_rate = 200
address_burst = 2000
page_rate = "600/minute"
page_burst = 600
site_rate = 0
site_burst = 1
when_exceeded = "ignore"
connections = 1000
connections_per_address = 100
header_timeout = "6s"
body_timeout = "7s"
write_timeout = "8s"
idle_timeout = "2m"

[tokens.xa-lan]
hash = "sha256:0101010101010101010101010101010101010101010101010101010101010101"
right = "edit"
sites = ["xa-*", "vixuyen"]
expires = "2027-01-31T00:00:00Z"

[tokens."link.1"]
hash = "sha256:0202020202020202020202020202020202020202020202020202020202020202"
right = "view"
sites = ["vixuyen"]
share = true
"#;

#[test]
fn a_file_with_every_key_is_read() {
    let config = load_text(EVERY_KEY).unwrap();
    assert_eq!((config.path_prefix.as_str(), config.redis_prefix.as_str()), ("/tk", "tk"));
    assert_eq!(config.sites[0].labels.len(), 1);
    assert_eq!(config.sites[0].title(), "Số lượt xem");
    assert_eq!(config.sites[0].label_style, crate::counter::LabelStyle::Relative);
    assert!(config.trusted_proxies.unix_socket && config.trusted_proxies.field == ForwardedField::Forwarded);
    let limits = config.limits;
    let parts = |rate: Option<Rate>| rate.map(|rate| (rate.hits.get(), rate.per, rate.burst.get()));
    assert_eq!(parts(limits.rates.address), Some((200, Per::Second, 2_000)));
    assert_eq!(parts(limits.rates.page), Some((600, Per::Minute, 600)));
    let public = PublicPart::ALL.map(|part| config.sites[0].public.contains(part));
    assert_eq!(public, [true, true, true, true, false]);
    assert_eq!(
        (limits.rates.site, limits.rates.when_exceeded, limits.timeouts.idle.as_secs()),
        (None, WhenExceeded::Ignore, 120)
    );
    assert!(config.sites[0].excludes(|| "10.1.2.3".parse().ok()));
    assert!(!config.is_demo);
    let tokens: String =
        config.tokens.iter().rev().map(|(name, grant)| super::token_lines(name, grant) + "\n").collect();
    assert!(EVERY_KEY.trim_end().ends_with(tokens.trim_end()), "{tokens}");
    assert!(config.dashboard_http);
}

#[test]
fn wrong_tokens_are_reported_with_their_places() {
    let hash = format!("sha256:{}", "01".repeat(32));
    let right = format!("hash = \"{hash}\"\nright = \"view\"\nsites = [\"demo\"]\n");
    for (table, said) in [
        ("[tokens.Lan]\n{right}", "`Lan` is no name of a token"),
        ("[tokens.lan]\nhash = \"{hash}\"\nright = \"view\"\n", "token `lan` has no `sites`"),
        ("[tokens.lan]\n{right}site = \"x\"\n", "unknown key `site`; did you mean `sites`?"),
        ("[tokens.lan]\n{right}expires = \"tomorrow\"\n", "`tomorrow` is no moment"),
        ("[tokens.lan]\n{right}[tokens.hoa]\n{right}", "has the hash of another"),
        (
            "[tokens.lan]\nhash = \"md5:1\"\nright = \"own\"\nsites = [\"A b\"]\n",
            "expected `view` or `edit`, found `own`",
        ),
        (
            "[tokens.lan]\nhash = \"{hash}\"\nright = \"view\"\nsites = [\"xa-*\"]\nshare = true\n",
            "a share link views one site",
        ),
        ("[tokens.lan]\nhash = \"{hash}\"\nright = \"view\"\nsites = []\n", "expected 1 to 200 ids"),
        ("[token.lan]\n{right}", "did you mean `tokens`?"),
    ] {
        let text = format!("{SITE}{}", table.replace("{right}", &right).replace("{hash}", &hash));
        let error = load_text(&text).unwrap_err().to_string();
        assert!(error.contains(said), "{text}\n{error}");
    }
}

#[test]
fn a_site_says_whose_hits_count_and_how_often() {
    let site = |more: &str| load_text(&format!("{SITE}{more}")).unwrap().sites.remove(0);
    let usual = site("");
    assert_eq!((usual.filtered_bots, usual.repeat_window), (FilteredBots::All, Duration::ZERO));
    assert_eq!(site("bots = false\n").filtered_bots, FilteredBots::None);
    assert_eq!(site("bots = true\n").filtered_bots, FilteredBots::All);
    assert_eq!(site("bots = \"crawlers\"\n").filtered_bots, FilteredBots::ExceptTools);
    assert_eq!(site("bots = \"all\"\n").filtered_bots, FilteredBots::All);
    assert_eq!(site("bots = \"none\"\n").filtered_bots, FilteredBots::None);
    assert_eq!(site("repeat_window = \"30m\"\n").repeat_window, Duration::from_secs(1_800));
}

#[test]
fn a_rate_is_of_a_second_or_of_the_time_that_it_names() {
    let page = |lines: &str| {
        let limits = load_text(&format!("{SITE}[limits]\n{lines}")).unwrap().limits;
        limits.rates.page.map(|rate| (rate.hits.get(), rate.per, rate.burst.get()))
    };
    assert_eq!(page(""), Some((2_000, Per::Day, 500)));
    assert_eq!(page("page_rate = 50"), Some((50, Per::Second, 500)));
    assert_eq!(page("page_rate = 900"), Some((900, Per::Second, 900)));
    assert_eq!(page("page_rate = \" 10 / minute\"\npage_burst = 3"), Some((10, Per::Minute, 3)));
    assert_eq!(page("page_rate = \"90000/minute\""), Some((90_000, Per::Minute, 1_500)));
    assert_eq!(page("page_rate = \"7/hour\""), Some((7, Per::Hour, 500)));
    assert_eq!([page("page_rate = 0"), page("page_rate = \"0/day\"")], [None, None]);
    let refusal = |rate: &str| load_text(&format!("{SITE}[limits]\npage_rate = {rate}\n")).unwrap_err();
    for (rate, said) in [
        ("\"2000/days\"", "`days` is no time of a rate; did you mean `day`?"),
        ("\"2000/week\"", "`week` is no time of a rate; expected one of second, minute, hour, day"),
        ("\"2000/\"", "expected one of second, minute, hour, day"),
        ("\"2000\"", "or a text such as `\"2000/day\"`, found \"2000\""),
        ("\"-1/day\"", "from 0 to 1000000"),
        ("\"+1/day\"", "from 0 to 1000000"),
        ("\"/day\"", "from 0 to 1000000"),
        ("\"1e3/day\"", "from 0 to 1000000"),
        ("\"99999999999999999999/day\"", "from 0 to 1000000"),
        (
            "\"1000001/day\"",
            "expected a whole number from 0 to 1000000 and a time, such as `\"2000/day\"`, found \"1000001/day\"",
        ),
        ("1000001", "found 1000001"),
        ("-1", "found -1"),
        ("0.5", "found a number with a fraction"),
        ("true", "found true or false"),
    ] {
        assert!(refusal(rate).contains(said), "{rate}: {}", refusal(rate));
    }
}

#[test]
fn a_site_names_the_parts_that_everyone_may_read() {
    let site = |more: &str| load_text(&format!("{SITE}{more}"));
    let open = |more: &str| {
        let public = site(more).unwrap().sites.remove(0).public;
        PublicPart::ALL.into_iter().filter(|part| public.contains(*part)).collect::<Vec<_>>()
    };
    assert_eq!(open(""), PublicPart::ALL);
    assert_eq!(open("public = []\n"), []);
    assert_eq!(open("public = [\"top\", \"page\"]\n"), [PublicPart::Page, PublicPart::Top]);
    for (list, said) in [
        (
            "[\"figure\"]",
            "`figure` is not a public part; expected figures, page, top, history or chart; did you mean `figures`?",
        ),
        ("[\"pages\"]", "did you mean `page`?"),
        ("[\"everything\"]", "expected figures, page, top, history or chart"),
        ("[\"top\", \"page\", \"top\"]", "`top` is named twice; once is enough"),
        ("[1]", "found a whole number"),
        ("\"figures\"", "expected a list in brackets such as `[\"figures\", \"page\"]`"),
        ("true", "expected a list in brackets"),
    ] {
        let refusal = site(&format!("public = {list}\n")).unwrap_err();
        assert!(refusal.contains(said), "{list}: {refusal}");
    }
}

proptest::proptest! {
    /// Any slip of a hand causes no panic, and each problem has a place in the file.
    #[test]
    fn a_damaged_file_is_read_or_refused_with_places_in_it(
        at in 0..EVERY_KEY.chars().count(),
        removed in 0_usize..12,
        inserted in "[\\[\\]{}=\"'#,.:\\\\\n a1ệ@-]{0,4}",
    ) {
        let chars: Vec<char> = EVERY_KEY.chars().collect();
        let (before, after) = (&chars[..at], &chars[(at + removed).min(chars.len())..]);
        let text: String = before.iter().copied().chain(inserted.chars()).chain(after.iter().copied()).collect();
        if let Err(refusal) = load_text(&text) {
            for line in refusal.lines().filter_map(|line| line.split_once("thongke.toml:")) {
                let mut place = line.1.split(':').map_while(|part| part.parse::<usize>().ok());
                let (line, column) = (place.next().unwrap(), place.next().unwrap());
                let length = text.split('\n').nth(line - 1).map(|line| line.chars().count());
                proptest::prop_assert!(length.is_some_and(|length| column <= length + 1), "{refusal}\n{text}");
            }
        }
    }
}
