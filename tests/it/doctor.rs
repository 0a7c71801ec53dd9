//! `thongke doctor`: pages that count, and pages that don't.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use tempfile::TempDir;

use crate::node::{Node, PROGRAM, until};
use crate::port::free_port;
use crate::portal::{Page, html, serve};
use crate::process::Process;
use crate::redis::certificates;

fn packed(text: &str) -> Page {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    let page = html("");
    Page { fields: page.fields + "Content-Encoding: gzip\r\n", body: encoder.finish().unwrap() }
}

fn start(directory: &Path, config: &str) -> Node {
    let file = directory.join("thongke.toml");
    std::fs::write(&file, config).unwrap();
    Node::start(&directory.join("data"), &["--config", file.to_str().unwrap()])
}

/// Exit code and words of a run, without the node's configuration unless that is named.
fn doctor(url: &str, more: &[&str]) -> (i32, String) {
    let output = Command::new(PROGRAM).args(["doctor", url]).args(more).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(said).unwrap())
}

fn tag(node: &str) -> String {
    format!(r#"<title>x</title><script async crossorigin src="http://{node}/thongke.js" data-site="x"></script>"#)
}

/// A hit of the site `x`, whoever fetches it.
const HIT: &str = "/v1/hit.gif?site=x&url=http%3A%2F%2Flocalhost%2F";

const SITE: &str = "[sites.x]\norigins = [\"http://localhost:*\"]\n";

#[test]
fn a_page_that_counts_is_fine_and_is_not_counted_by_the_examination() {
    let directory = TempDir::new().unwrap();
    let node = start(directory.path(), SITE);
    let address = node.public.clone();
    let portal = serve(move |path, takes_gzip| {
        let tag = tag(&address);
        let policy =
            format!("Content-Security-Policy: default-src 'self'; script-src {address}; connect-src {address}\r\n");
        match path {
            "/" => Page { fields: "Location: /tin\r\n".to_owned(), body: Vec::new() },
            "/policy" => Page { fields: html("").fields + &policy, body: tag.into() },
            "/packed" if takes_gzip => packed(&tag),
            "/pixel" => {
                html(format!("<img src=\"http://{address}/v1/hit.gif?site=x&amp;url=http%3A%2F%2Flocalhost%2F\">"))
            }
            _ => html(tag),
        }
    });
    for path in ["/", "/policy", "/packed", "/pixel"] {
        let (code, said) = doctor(&format!("{portal}{path}?token=secret"), &[]);
        assert_eq!(code, 0, "{path}: {said}");
        assert!(
            said.contains("the counter has the site `x`") && said.contains("is an origin of `x`"),
            "{path}: {said}"
        );
        assert!(said.lines().all(|line| line.starts_with("ok: ")), "{path}: {said}");
    }
    assert_eq!(node.total("x"), 0);
    assert_eq!(node.admin_get("/refused").json()["refused"], serde_json::json!([]));
    node.stop();
}

#[test]
fn each_fault_is_found_and_fails() {
    let directory = TempDir::new().unwrap();
    let node = start(directory.path(), &format!("{SITE}[sites.far]\norigins = [\"https://far.gov.vn\"]\n"));
    let address = node.public.clone();
    let portal = serve(move |path, takes_gzip| {
        let tag = tag(&address);
        let with = |fields: &str| Page { fields: html("").fields + fields, body: tag.clone().into() };
        match path {
            "/none" => html("<p>thongke"),
            "/comment" => html(format!("<!-- {tag} -->")),
            "/no-site" => html(tag.replace(" data-site=\"x\"", "")),
            "/unknown" => html(tag.replace("\"x\"", "\"X\"")),
            "/far" => html(tag.replace("\"x\"", "\"far\"")),
            "/elsewhere" => html(tag.replace("/thongke.js", "/dem/thongke.js")),
            "/integrity" => html(tag.replace(" data-site", " integrity=\"sha384-AAAA\" data-site")),
            "/script" => with("Content-Security-Policy: script-src 'self'\r\n"),
            "/hit" => with("Content-Security-Policy: script-src *; connect-src 'self'\r\n"),
            "/to-hit" => Page { fields: format!("Location: http://{address}{HIT}\r\n"), body: Vec::new() },
            "/to/thongke.js" => Page { fields: format!("Location: http://{address}{HIT}\r\n"), body: Vec::new() },
            "/tag-to-hit" => html("<script src=/to/thongke.js data-site=x></script>"),
            "/tag-of-hit" => html(format!("<script src='http://{address}{HIT}&thongke' data-site=x></script>")),
            "/large" => html(format!("{}{tag}", " ".repeat(5 << 20))),
            "/br" => Page { fields: html("").fields + "Content-Encoding: br\r\n", body: b"xyz".to_vec() },
            "/away" => html(tag.replace(&address, "localhost:9")),
            "/sub-filter" if takes_gzip => packed("<p>x"),
            "/canonical" => html(format!("<link rel=canonical href=https://other.gov.vn/bai>{tag}")),
            _ => html(tag),
        }
    });
    for (path, says) in [
        ("/none", "has no tag of thongke"),
        ("/comment", "in a comment"),
        ("/no-site", "no `data-site`"),
        ("/unknown", "did you mean `x`?"),
        ("/far", "`thongke sites set far origins+=http://localhost:"),
        ("/elsewhere", "thongke's script is at"),
        ("/integrity", "the tag's `integrity`"),
        ("/script", "blocks the script: `script-src 'self'`"),
        ("/hit", "blocks the hit: `connect-src 'self'`"),
        ("/away", "can't be fetched"),
        ("/sub-filter", "`proxy_set_header Accept-Encoding"),
    ] {
        let (code, said) = doctor(&format!("{portal}{path}"), &[]);
        assert!(code == 1 && said.contains(says), "{path}: {code} {said}");
        assert!(said.contains("error: ") && said.contains("from being counted"), "{path}: {said}");
    }
    let (code, said) = doctor(&format!("{portal}/canonical"), &[]);
    assert!(
        code == 0 && said.contains("warning: <link rel=\"canonical\"> names https://other.gov.vn/bai"),
        "{code} {said}"
    );
    for (path, says) in [
        ("/to-hit", "counts a view when it is fetched, so it wasn't"),
        ("/tag-to-hit", "counts a view when it is fetched, so it wasn't"),
        ("/tag-of-hit", "counts a view when it is fetched, so it wasn't"),
        ("/large", "warning: only the page's first 4 MiB were read"),
        ("/br", "comes in the encoding `br`"),
    ] {
        let (code, said) = doctor(&format!("{portal}{path}"), &[]);
        assert!(code == 1 && said.contains(says), "{path}: {code} {said}");
    }
    let (code, said) = doctor("http://localhost:9/", &[]);
    assert!(code == 1 && said.contains("the page http://localhost:9/ can't be fetched"), "{code} {said}");
    for wrong in ["portal.gov.vn/tin", "ftp://a.vn/"] {
        assert_eq!(doctor(wrong, &[]).0, 2, "{wrong}");
    }
    assert_eq!(node.total("x"), 0);
    node.stop();
}

#[test]
fn a_prefix_that_does_not_fit_and_a_closed_site_are_told() {
    let directory = TempDir::new().unwrap();
    let closed = format!("path_prefix = \"/tk\"\n{SITE}public = []\n");
    let node = start(directory.path(), &closed);
    let address = node.public.clone();
    let portal = serve(move |path, _| match path {
        "/root" => html(tag(&address)),
        _ => html(tag(&address).replace("/thongke.js", "/tk/thongke.js")),
    });
    let (code, said) = doctor(&format!("{portal}/root"), &[]);
    assert!(
        code == 1 && said.contains(&format!("thongke's script is at http://{}/tk/thongke.js", node.public)),
        "{said}"
    );
    let (code, said) = doctor(&format!("{portal}/"), &[]);
    assert!(code == 0 && said.contains("warning: whether") && said.contains("keeps its figures to itself"), "{said}");
    let config = directory.path().join("thongke.toml");
    let (code, said) = doctor(&format!("{portal}/"), &["--config", config.to_str().unwrap()]);
    assert!(code == 0 && said.contains("is an origin of `x` in the configuration"), "{said}");
    node.stop();
}

#[test]
fn https_is_checked_with_the_machines_certificates() {
    let directory = TempDir::new().unwrap();
    let port = free_port();
    certificates(directory.path());
    let body = "<script src=http://localhost:9/thongke.js data-site=x></script>";
    let page = format!("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    std::fs::write(directory.path().join("page"), page).unwrap();
    let mut command = Command::new("openssl");
    command.current_dir(directory.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let _server = Process::start(command.args([
        "s_server",
        "-quiet",
        "-HTTP",
        "-key",
        "server.key",
        "-cert",
        "server.pem",
        "-accept",
        &port.to_string(),
    ]));
    until("it listens", Duration::from_secs(60), || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
    let run = |certificates: &str| {
        let mut command = Command::new(PROGRAM);
        command.args(["doctor", &format!("https://localhost:{port}/page")]);
        let output = command.env("SSL_CERT_FILE", directory.path().join(certificates)).output().unwrap();
        String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
    };
    let said = run("ca.pem");
    assert!(said.contains("mixed content"), "{said}");
    let said = run("none.pem");
    assert!(said.contains("can't be fetched") && said.contains("must know its authority"), "{said}");
}
