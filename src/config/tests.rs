use super::*;

fn load_text(text: &str) -> Result<Config, String> {
    let directory = tempfile::TempDir::new().unwrap();
    let path = directory.path().join("thongke.toml");
    std::fs::write(&path, text).unwrap();
    let flags = Flags { config: Some(path), ..Flags::default() };
    Config::load(&flags, |_| None).map_err(|error| error.to_string())
}

fn refusal(text: &str) -> String {
    load_text(text).unwrap_err()
}

const SITE: &str = "[sites.a]\norigins = [\"https://a.vn\"]\n";

#[test]
fn without_anything_there_is_a_demo_on_this_machine() {
    let config = Config::load(&Flags::default(), |_| None).unwrap();
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
    let env = |name: &str| matches!(name, "THONGKE_LISTEN" | "THONGKE_ADMIN_LISTEN").then(|| "127.0.0.1:2".to_owned());
    let config = Config::load(&flags, env).unwrap();
    assert_eq!((config.listen.port(), config.admin_listen.port()), (3, 2));
    assert_eq!(config.data_dir, Path::new("/1"));
}

#[test]
fn what_is_wrong_is_named_with_its_line_and_what_would_be_right() {
    for (text, says) in [
        (format!("{SITE}orgins = []\n"), ":3: unknown field `orgins`"),
        (format!("lisen = 1\n{SITE}"), ":1: unknown field `lisen`"),
        (format!("{SITE}time_zone = \"Asia/Hanoi_City\"\n"), ":3: `Asia/Hanoi_City` is not an IANA time zone"),
        (format!("{SITE}time_zone = \"Asia/Ho_Chi_Min\"\n"), "did you mean `Asia/Ho_Chi_Minh`"),
        (format!("{SITE}{SITE}"), ":3: duplicate key"),
        ("[sites.A]\norigins = [\"https://a.vn\"]\n".to_owned(), ":1: `A` is not a site id"),
        ("[sites.a]\norigins = []\n".to_owned(), "has no origins"),
        ("[sites.a]\norigins = [\"a.vn\"]\n".to_owned(), ":2: `a.vn` is not an origin"),
        (format!("{SITE}figures = [\"todai\"]\n"), "expected one of today"),
        (format!("{SITE}language = \"fr\"\n"), "expected vi or en"),
        (format!("path_prefix = \"tk/\"\n{SITE}"), "path_prefix"),
        (format!("listen = \"8080\"\n{SITE}"), "127.0.0.1:8080"),
        (format!("listen = \"0.0.0.0:9\"\nadmin_listen = \"127.0.0.1:9\"\n{SITE}"), "a port of its own"),
    ] {
        let refusal = refusal(&text);
        assert!(refusal.contains(says), "{text}\n{refusal}");
    }
}

#[test]
fn an_unreadable_file_is_named() {
    let flags = Flags { config: Some("/nowhere/thongke.toml".into()), ..Flags::default() };
    assert!(Config::load(&flags, |_| None).unwrap_err().to_string().contains("/nowhere/thongke.toml"));
}

#[test]
fn a_password_is_never_printed() {
    let config = load_text(&format!("redis = [\"redis://u:geheim@localhost:1\"]\n{SITE}")).unwrap();
    assert!(!format!("{config:?}").contains("geheim"));
}

#[test]
fn a_file_with_every_key_is_read() {
    let text = r#"
listen = "0.0.0.0:8080"
admin_listen = "127.0.0.1:8081"
data_dir = "/var/lib/thongke"
redis = ["redis://10.0.0.5:6379"]
redis_prefix = "tk"
redis_allow_eviction = true
path_prefix = "/tk"
trusted_proxies = ["10.0.0.0/8"]

[sites.vixuyen]
name = "Huyện Vị Xuyên"
origins = ["https://vixuyen.example.gov.vn"]
time_zone = "Asia/Ho_Chi_Minh"
language = "vi"
figures = ["today", "yesterday", "month", "year"]
labels = { month = "Tháng này" }
page_params = ["id", "nv", "op"]
page_cap = 100000
page_days = 40
page_months = 24
repeat_window = "0s"

[limits]
enabled = true
"#;
    let config = load_text(text).unwrap();
    assert_eq!((config.path_prefix.as_str(), config.redis_prefix.as_str()), ("/tk", "tk"));
    assert_eq!(config.sites[0].labels.len(), 1);
    assert!(!config.is_demo);
}
