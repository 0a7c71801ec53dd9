//! Editors at their pages: who gets in, where, and what nobody sees.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use thongke::server::routes::MANAGE;

use crate::node::{Answer, Node, ask, until};
use crate::redis::Redis;

const ADMIN_TOKEN: &str = "the-operators-own-token";
const READ_TOKEN: &str = "a-token-that-only-reads";
/// A token whose hash stands in the configuration, and which is over.
const OVER: &str = "tk_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const SITES: &str = "[sites.xa-lan]\nname = \"Xã Lan\"\norigins = [\"http://localhost\"]\n\
    [sites.bi-mat]\nname = \"Tên bí mật\"\norigins = [\"http://localhost\"]\n";

fn over_hash() -> String {
    thongke::counter::tokens::secret::TokenKey::of(OVER).unwrap().hash().to_string()
}

/// Starts a node with pages on both listeners, behind a proxy on this machine.
fn start(directory: &Path, settings: &str, more: &[&str]) -> Node {
    for (name, token) in [("write", ADMIN_TOKEN), ("read", READ_TOKEN)] {
        std::fs::write(directory.join(name), token).unwrap();
    }
    let file = directory.join("thongke.toml");
    std::fs::write(&file, format!("dashboard = \"public\"\ntrusted_proxies = [\"127.0.0.1\"]\n{settings}\n{SITES}"))
        .unwrap();
    Node::start(&directory.join("data"), &[&["--config", file.to_str().unwrap()], more].concat())
}

const GUARDED: &str = "admin_token_file = \"write\"\nadmin_read_token_file = \"read\"";

/// A token's secret.
fn make(node: &Node, body: Value) -> String {
    let fields = ["Content-Type: application/json", &format!("Authorization: Bearer {ADMIN_TOKEN}")];
    let made = ask(&node.admin, "POST", "/tokens", &fields, body.to_string());
    assert_eq!(made.status, 200, "{}", made.body);
    made.json()["token"].as_str().unwrap().to_owned()
}

fn revoke(node: &Node, name: &str) {
    let field = format!("Authorization: Bearer {ADMIN_TOKEN}");
    assert_eq!(ask(&node.admin, "DELETE", &format!("/tokens?name={name}"), &[&field], "").status, 200);
}

/// A request by TLS through the proxy, from an address of its own: no two share their failed attempts.
fn send(address: &str, method: &str, path: &str, fields: &[&str], body: &str) -> Answer {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let client = format!("X-Forwarded-For: 198.51.{}.{}", number / 250, number % 250);
    let kind = "Content-Type: application/x-www-form-urlencoded";
    // The admin listener wants a name of its own.
    let host = format!("Host: {address}");
    let own = [&*client, "X-Forwarded-Proto: https", kind, &host];
    ask(address, method, path, &[&own[..], fields].concat(), body)
}

/// Values that a browser would keep of an answer's cookies, for its next request.
fn cookies(answer: &Answer) -> String {
    let lines = answer.head_lines("set-cookie");
    let pairs: Vec<_> = lines.iter().map(|line| line.split(';').next().unwrap().to_owned()).collect();
    format!("Cookie: {}", pairs.join("; "))
}

fn hidden(answer: &Answer, name: &str) -> String {
    let (_, rest) =
        answer.body.split_once(&format!("name=\"{name}\" value=\"")).unwrap_or_else(|| panic!("{}", answer.body));
    rest.split('"').next().unwrap().to_owned()
}

/// Logs in as a browser does; the answer to the form.
fn log_in(address: &str, prefix: &str, token: &str, next: &str) -> Answer {
    let form = send(address, "GET", &format!("{prefix}/manage/login"), &[], "");
    assert_eq!(form.status, 200, "{}", form.body);
    let fields = [("token", token), ("next", next), ("form_token", &hidden(&form, "form_token"))];
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    send(address, "POST", &format!("{prefix}/manage/login"), &[&cookies(&form)], &body)
}

fn session(address: &str, token: &str) -> String {
    let entered = log_in(address, "", token, "");
    assert_eq!(entered.status, 303, "{}", entered.body);
    cookies(&entered)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rights {
    None,
    Other,
    View,
    Edit,
}

/// Every route of the editors' pages and of tokens, with every kind of credential, at both listeners.
#[test]
fn every_route_opens_for_its_right_and_tells_others_nothing() {
    let directory = TempDir::new().unwrap();
    let over = format!(
        "[tokens.over]\nhash = \"{}\"\nright = \"edit\"\nsites = [\"*\"]\nexpires = \"2020-01-01T00:00:00Z\"\n",
        over_hash()
    );
    let node = start(directory.path(), &format!("{GUARDED}\n{over}"), &[]);
    let token =
        |name: &str, right: &str, site: &str| make(&node, json!({"name": name, "right": right, "sites": [site]}));
    let (revoked, other) = (token("gone", "edit", "*"), token("other", "edit", "bi-*"));
    revoke(&node, "gone");
    let (view, edit) = (token("view", "view", "xa-*"), token("edit", "edit", "xa-lan"));
    let link = make(&node, json!({"sites": ["xa-lan"], "share": true}));
    for (address, is_admin) in [(&node.public, false), (&node.admin, true)] {
        let bearer = |token: &str| format!("Authorization: Bearer {token}");
        let opened = send(address, "GET", &format!("/manage/share/{link}"), &[], "");
        let with_link = cookies(&opened);
        let of_session = session(address, &edit);
        let operators = |rights| if is_admin { rights } else { Rights::None };
        let credentials = [
            (String::from("Accept: */*"), Rights::None),
            (bearer("wrong"), Rights::None),
            (bearer("tk_bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"), Rights::None),
            (String::from("Authorization: Basic eDp5"), Rights::None),
            (bearer(&revoked), Rights::None),
            (bearer(OVER), Rights::None),
            (String::from("Cookie: thongke_session=view.9999999999.AAAA.AAAA"), Rights::None),
            (of_session.replace("edit.", "view."), Rights::None),
            // A session is none of a share link, and the other way round only views.
            (of_session.replace("thongke_session", "thongke_share"), Rights::None),
            (bearer(&other), Rights::Other),
            (session(address, &other), Rights::Other),
            (bearer(&view), Rights::View),
            (session(address, &view), Rights::View),
            (bearer(&link), Rights::View),
            (with_link, Rights::View),
            (bearer(&edit), Rights::Edit),
            (of_session, Rights::Edit),
            (bearer(ADMIN_TOKEN), operators(Rights::Edit)),
            (bearer(READ_TOKEN), operators(Rights::View)),
        ];
        for (credential, rights) in &credentials {
            let is_cookie = credential.starts_with("Cookie");
            for route in &MANAGE {
                let is_of_site = route.path.contains("{site}");
                let path =
                    route.path.replace("{site}", "xa-lan").replace("{link}", "tk_cccccccccccccccccccccccccccccccc");
                let case = format!("{path} with `{credential}`, admin: {is_admin}");
                // All failed attempts together have a limit.
                let is_attempt = *rights == Rights::None && credential.starts_with("Authorization");
                let methods = if is_attempt { &["GET", "POST"][..] } else { &["GET", "HEAD", "POST"] };
                for method in methods.iter().copied() {
                    let answer = send(address, method, &path, &[credential], "x=1");
                    let status = answer.status;
                    let case = format!("{method} {case}: {status} {}", answer.body);
                    if status != 200 || !route.path.contains('.') {
                        assert!(!matches!(answer.header("cache-control"), Some(kept) if kept != "no-store"), "{case}");
                    }
                    assert_eq!(answer.header("x-robots-tag"), Some("noindex"), "{case}");
                    let is_read = method != "POST";
                    let is_free = matches!(
                        route.path,
                        "/manage/style.css" | "/manage/manage.js" | "/manage/icon.svg" | "/manage/login"
                    );
                    if is_free && is_read {
                        assert_eq!(status, 200, "{case}");
                    } else if route.path == "/manage/login" {
                        assert_eq!(status, 403, "no form was shown: {case}");
                    } else if route.path.starts_with("/manage/share/") && is_read {
                        assert_eq!(status, 404, "{case}");
                        assert!(!answer.body.contains("tk_"), "{case}");
                    } else if *rights == Rights::None {
                        assert_eq!(status, 401, "{case}");
                    } else if !route.allows(method) {
                        assert_eq!(status, 405, "{case}");
                    } else if !is_read && is_cookie {
                        assert_eq!(status, 403, "a form without its token: {case}");
                    } else if is_of_site && *rights == Rights::Other {
                        assert_eq!(status, 404, "{case}");
                    } else if is_of_site && *rights == Rights::View && (!is_read || route.path.ends_with("/shares")) {
                        assert_eq!(status, 403, "{case}");
                    } else {
                        assert!(!matches!(status, 401 | 403 | 404) && status < 500, "{case}");
                    }
                    if *rights != Rights::Other && !(is_admin && credential.contains("-token")) {
                        assert!(!answer.body.contains("bí mật") && !answer.body.contains("bi-mat"), "{case}");
                    }
                    if *rights == Rights::Other {
                        assert!(!answer.body.contains("Xã Lan"), "{case}");
                    }
                    if is_of_site && !is_attempt {
                        let there_is_none =
                            send(address, method, &path.replace("xa-lan", "khong-co"), &[credential], "x=1");
                        let own = send(address, method, &path.replace("xa-lan", "bi-mat"), &[credential], "x=1");
                        if !matches!(rights, Rights::Other) && !credential.contains("-token") {
                            let same =
                                |answer: &Answer| answer.body.replace("khong-co", "SITE").replace("bi-mat", "SITE");
                            assert_eq!(
                                (there_is_none.status, same(&there_is_none)),
                                (own.status, same(&own)),
                                "{case}"
                            );
                            assert_eq!(lasting(&there_is_none), lasting(&own), "{case}");
                        }
                    }
                }
            }
            // Tokens are the operators' alone.
            for method in ["GET", "POST", "DELETE"] {
                let answer = send(address, method, "/tokens?name=nobody", &[credential], "");
                let expected: &[u16] = match (is_admin, *rights, credential.contains("-token")) {
                    (false, ..) => &[404, 405],
                    (true, Rights::Edit, true) => &[200, 400, 415],
                    (true, Rights::View, true) if method == "GET" => &[200],
                    (true, Rights::View, true) => &[403],
                    (true, ..) => &[401],
                };
                assert!(expected.contains(&answer.status), "{method} /tokens with `{credential}`: {}", answer.status);
            }
        }
    }
    let log = node.log();
    assert!([&revoked, &other, &view, &edit, &link].iter().all(|token| !log.contains(token.as_str())));
    node.stop();
}

/// Header fields but for those that differ with each answer.
fn lasting(answer: &Answer) -> Vec<String> {
    let changing = ["date", "x-request-id", "set-cookie"];
    let lines = answer.head.lines().filter(|line| !changing.iter().any(|name| line.starts_with(name)));
    lines.map(|line| line.replace("khong-co", "SITE").replace("bi-mat", "SITE")).collect()
}

#[test]
fn a_session_is_good_on_every_node_until_its_token_is_revoked() {
    let (redis, directories) = (Redis::start(), [TempDir::new().unwrap(), TempDir::new().unwrap()]);
    let url = redis.url();
    let [one, other] = [0, 1].map(|at: usize| start(directories[at].path(), GUARDED, &["--redis", &url]));
    let token = make(&one, json!({"name": "lan", "right": "edit", "sites": ["xa-lan"]}));
    let pages = |node: &Node, cookie: &str| send(&node.public, "GET", "/manage", &[cookie], "").status;
    let entered = log_in(&one.public, "", &token, "/manage?sort=today");
    assert_eq!((entered.status, entered.header("location")), (303, Some("/manage?sort=today")), "{}", entered.body);
    let set = entered.head_lines("set-cookie");
    let set = set.iter().find(|line| line.starts_with("thongke_session=lan.")).unwrap();
    assert!(set.ends_with("; Path=/manage; Max-Age=43200; HttpOnly; SameSite=Strict; Secure"), "{set}");
    assert!(!set.contains(&token), "the token stays out of the browser");
    let cookie = cookies(&entered);
    until("the session is good on the other node", Duration::from_secs(6), || pages(&other, &cookie) == 200);
    // The pages go on without Redis, and a revocation holds at once where it is made.
    drop(redis);
    assert_eq!((pages(&one, &cookie), pages(&other, &cookie)), (200, 200));
    revoke(&one, "lan");
    assert_eq!(pages(&one, &cookie), 401);
    let again = make(&one, json!({"name": "lan", "right": "edit", "sites": ["xa-lan"]}));
    assert_eq!(pages(&one, &cookie), 401, "another token of the name is another token");
    // Logging out.
    let cookie = session(&one.public, &again);
    let page = send(&one.public, "GET", "/manage", &[&cookie], "");
    let form = format!("form_token={}", hidden(&page, "form_token"));
    for (fields, body) in [
        (vec![&*cookie], "form_token=x"),
        (vec![&*cookie], ""),
        (vec![&*cookie, "Origin: https://evil.vn"], &*form),
        (vec![&*cookie, "Origin: null"], &*form),
        (vec![&*cookie, "Sec-Fetch-Site: same-site"], &*form),
    ] {
        assert_eq!(send(&one.public, "POST", "/manage/logout", &fields, body).status, 403, "{fields:?} {body}");
    }
    let own = format!("Origin: https://{}", one.public);
    let left = send(&one.public, "POST", "/manage/logout", &[&cookie, &own, "Sec-Fetch-Site: same-origin"], &form);
    assert_eq!((left.status, left.header("location")), (303, Some("/manage/login")), "{}", left.body);
    assert!(left.head_lines("set-cookie").iter().all(|line| line.contains("=; Path=/manage; Max-Age=0")));
    one.stop();
    other.stop();
}

#[test]
fn a_login_wants_tls_its_own_form_and_few_attempts_and_returns_to_own_pages() {
    let directory = TempDir::new().unwrap();
    let node = start(directory.path(), &format!("{GUARDED}\npath_prefix = \"/tk\""), &[]);
    let token = make(&node, json!({"name": "lan", "right": "view", "sites": ["xa-lan"]}));
    let address = &node.public;
    // A browser without a session is led to the login and back.
    let led = send(address, "GET", "/tk/manage?sort=today", &["Accept: text/html"], "");
    assert_eq!(
        (led.status, led.header("location")),
        (303, Some("/tk/manage/login?next=%2Ftk%2Fmanage%3Fsort%3Dtoday"))
    );
    // A link of another site: the browser keeps a strict cookie back, and gives it at the second step.
    let led = send(address, "GET", "/tk/manage", &["Accept: text/html", "Sec-Fetch-Site: cross-site"], "");
    assert!(
        led.status == 200 && led.body.contains("http-equiv=\"refresh\" content=\"0; url=/tk/manage\""),
        "{}",
        led.body
    );
    for (next, expected) in [
        ("/tk/manage/sites/xa-lan?from=2024-01-01", "/tk/manage/sites/xa-lan?from=2024-01-01"),
        ("https://evil.vn/", "/tk/manage"),
        ("//evil.vn/tk/manage", "/tk/manage"),
        ("/tk/manage/../../evil", "/tk/manage"),
        ("/\\evil.vn", "/tk/manage"),
    ] {
        assert_eq!(log_in(address, "/tk", &format!(" {token}\n"), next).header("location"), Some(expected), "{next}");
    }
    // In the open, by whoever isn't this machine itself.
    let plain = |fields: &[&str]| ask(address, "GET", "/tk/manage/login", fields, "");
    assert!(plain(&["X-Forwarded-For: 192.0.2.1"]).body.contains("https"));
    for fields in [&["X-Forwarded-For: 192.0.2.1"][..], &["X-Forwarded-For: 192.0.2.1", "X-Forwarded-Proto: http"]] {
        assert_eq!(plain(fields).status, 403);
        let bearer = format!("Authorization: Bearer {token}");
        assert_eq!(ask(address, "GET", "/tk/manage", &[fields, &[&bearer]].concat(), "").status, 403);
    }
    assert_eq!(plain(&[]).status, 200);
    assert!(!plain(&[]).head.contains("secure"), "a cookie for plain HTTP on this machine");
    // Wrong tokens, as long as they may be tried.
    let form = send(address, "GET", "/tk/manage/login", &[], "");
    let (cookie, form_token) = (cookies(&form), hidden(&form, "form_token"));
    let try_from = |client: &str, token: &str| {
        let fields = [
            &*format!("X-Forwarded-For: {client}"),
            "X-Forwarded-Proto: https",
            &cookie,
            "Content-Type: application/x-www-form-urlencoded",
        ];
        ask(address, "POST", "/tk/manage/login", &fields, format!("token={token}&form_token={form_token}"))
    };
    let mut wrong = Vec::new();
    for _ in 0..10 {
        wrong.push(try_from("192.0.2.7", "tk_bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"));
        assert_eq!(wrong.last().unwrap().status, 401);
    }
    let refused = try_from("192.0.2.7", &token);
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!(refused.status == 429 && (1..=30).contains(&wait), "{}", refused.head);
    assert_eq!(try_from("192.0.2.8", &token).status, 303);
    // Unknown, revoked and over: the same answer.
    revoke(&node, "lan");
    let [unknown, revoked] = ["tk_bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb", &token].map(|token| try_from("192.0.2.9", token));
    assert_eq!((unknown.status, &unknown.body), (revoked.status, &revoked.body));
    assert_eq!(lasting(&unknown), lasting(&revoked));
    node.stop();
    let open = start(directory.path(), &format!("{GUARDED}\ndashboard_http = true"), &[]);
    assert_eq!(ask(&open.public, "GET", "/manage/login", &["X-Forwarded-For: 192.0.2.1"], "").status, 200);
    open.stop();
}

#[test]
fn a_share_link_shows_one_site_names_its_secret_nowhere_and_is_revoked_by_an_editor() {
    let directory = TempDir::new().unwrap();
    let node = start(directory.path(), GUARDED, &[]);
    let editor = make(&node, json!({"name": "lan", "right": "edit", "sites": ["xa-lan"]}));
    let address = &node.public;
    let cookie = session(address, &editor);
    let page = send(address, "GET", "/manage/sites/xa-lan/shares", &[&cookie], "");
    assert_eq!(page.status, 200, "{}", page.body);
    let form_token = hidden(&page, "form_token");
    let post = |body: &str| {
        send(address, "POST", "/manage/sites/xa-lan/shares", &[&cookie], &format!("form_token={form_token}&{body}"))
    };
    let made = post("days=30");
    assert_eq!(made.status, 200, "{}", made.body);
    let (_, rest) = made.body.split_once("value=\"https://").unwrap_or_else(|| panic!("{}", made.body));
    let link = rest.split('"').next().unwrap().strip_prefix(address.as_str()).unwrap();
    let secret = link.strip_prefix("/manage/share/").unwrap();
    // The link leads on, under an address without the secret.
    let opened = send(address, "GET", link, &["Accept: text/html", "Sec-Fetch-Site: cross-site"], "");
    assert_eq!((opened.status, opened.header("referrer-policy")), (200, Some("no-referrer")), "{}", opened.body);
    assert!(opened.body.contains("url=/manage/sites/xa-lan") && !opened.body.contains(secret), "{}", opened.body);
    let shown = cookies(&opened);
    assert!(shown.contains("thongke_share=") && !shown.contains(secret), "{shown}");
    let overview = send(address, "GET", "/manage", &[&shown], "");
    assert!(overview.status == 200 && overview.body.contains("Xã Lan") && !overview.body.contains("bí mật"));
    assert_eq!(send(address, "GET", "/manage/sites/xa-lan/shares", &[&shown], "").status, 403);
    // Whoever is logged in keeps his own session; with a link of another site he sees that too, and edits nothing there.
    assert!(send(address, "GET", link, &[&cookie], "").header("set-cookie").is_none());
    let stranger = make(&node, json!({"name": "hoa", "right": "edit", "sites": ["bi-mat"]}));
    let stranger = session(address, &stranger);
    let both = format!("{stranger}; {}", shown.strip_prefix("Cookie: ").unwrap());
    let overview = send(address, "GET", "/manage", &[&both], "").body;
    assert!(overview.contains("Xã Lan") && overview.contains("bí mật"));
    assert_eq!(send(address, "GET", "/manage/sites/xa-lan/shares", &[&both], "").status, 403);
    // An editor's own token opens nothing as a link.
    assert_eq!(send(address, "GET", &format!("/manage/share/{editor}"), &[], "").status, 404);
    // Revoked: by its site's editors, and no other token by that way.
    let listed = ask(&node.admin, "GET", "/tokens", &[&format!("Authorization: Bearer {READ_TOKEN}")], "").json();
    let name =
        listed.as_array().unwrap().iter().find(|token| token["share"] == true).unwrap()["name"].as_str().unwrap();
    assert_eq!(post("revoke=hoa").status, 400);
    assert_eq!(post(&format!("revoke={name}")).status, 200);
    assert_eq!(send(address, "GET", "/manage", &[&shown], "").status, 401);
    assert_eq!(send(address, "GET", link, &[], "").status, 404);
    assert!(!node.log().contains(secret) && node.log().contains("form sent by an editor"));
    node.stop();
}

#[test]
fn an_open_admin_listener_opens_its_pages_and_takes_only_forms_that_it_has_shown() {
    let directory = TempDir::new().unwrap();
    let node = start(directory.path(), "", &[]);
    let ask_admin = |method, path, fields: &[&str], body: &str| {
        let kind = "Content-Type: application/x-www-form-urlencoded";
        ask(&node.admin, method, path, &[&[kind], fields].concat(), body)
    };
    let page = ask_admin("GET", "/manage/sites/xa-lan/shares", &[], "");
    assert_eq!(page.status, 200, "{}", page.body);
    let right = format!("form_token={}&days=1", hidden(&page, "form_token"));
    assert_eq!(ask_admin("POST", "/manage/sites/xa-lan/shares", &[], "form_token=x&days=1").status, 403);
    assert_eq!(ask_admin("POST", "/manage/sites/xa-lan/shares", &["Origin: http://evil.vn"], &right).status, 403);
    assert_eq!(ask_admin("POST", "/manage/sites/xa-lan/shares", &["Host: evil.vn"], &right).status, 403);
    assert_eq!(ask_admin("POST", "/manage/sites/xa-lan/shares", &[], &right).status, 200);
    // The public listener wants a token all the same.
    assert_eq!(send(&node.public, "GET", "/manage", &[], "").status, 401);
    assert_eq!(ask_admin("GET", "/manage", &[], "").status, 200);
    node.stop();
}
