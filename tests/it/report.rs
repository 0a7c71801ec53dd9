//! Tables and reports to take along: over HTTP and by command.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use crate::node::{Answer, Node, PROGRAM, ask};

const SITES: &str = "[sites.demo]\nname = \"UBND xã Vị Xuyên\"\norigins = [\"http://localhost\"]\n\
                     [sites.kin]\norigins = [\"http://kin.localhost\"]\npublic = [\"figures\"]\n";
/// The month before this one, and the one before that.
struct Months {
    former: String,
    earlier: String,
}

impl Months {
    fn now() -> Self {
        let run = |ago: &str| {
            let words = ["-d", &format!("{}-15 {ago} month ago", this_month()), "+%Y-%m"];
            String::from_utf8(Command::new("date").args(words).output().unwrap().stdout).unwrap().trim().to_owned()
        };
        Self { former: run("1"), earlier: run("2") }
    }
}

fn this_month() -> String {
    let words = ["+%Y-%m"];
    let said = Command::new("date").env("TZ", "Asia/Ho_Chi_Minh").args(words).output().unwrap();
    String::from_utf8(said.stdout).unwrap().trim().to_owned()
}

fn start(directory: &Path, more: &str) -> Node {
    let file = directory.join("thongke.toml");
    std::fs::write(&file, format!("{more}\n{SITES}")).unwrap();
    Node::start(&directory.join("data"), &["--config", file.to_str().unwrap()])
}

fn report(directory: &Path, words: &[&str]) -> Output {
    let mut command = Command::new(PROGRAM);
    command.arg("--config").arg(directory.join("thongke.toml")).arg("--data-dir").arg(directory.join("data"));
    command.arg("report").args(words).output().unwrap()
}

fn said(output: Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn import(node: &Node, months: &Months) {
    let Months { former, earlier } = months;
    let mut csv = "period,page,hits\n".to_owned();
    for (month, hits) in [(former, 120), (earlier, 100)] {
        for (period, hits) in [(format!("{month}-01"), hits - 20), (format!("{month}-15"), 20), (month.clone(), hits)] {
            csv += &format!("{period},,{hits}\n");
        }
        csv += &format!("{month},/tin-tuc/lu-quet,{}\n{month},/tin-tuc-khac,7\n{month},/=1+1,5\n", hits / 2);
    }
    csv += "total,,220\ntotal,/tin-tuc/lu-quet,110\n";
    let fields = ["Content-Type: text/csv"];
    let imported = ask(&node.admin, "POST", "/sites/demo/import?source=cu", &fields, csv);
    assert_eq!(imported.status, 200, "{}", imported.body);
}

fn get(node: &Node, path: &str) -> Answer {
    let answer = node.admin_get(path);
    assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    answer
}

/// Rows of an XLSX answer, read by Python's archive and XML.
fn rows(node: &Node, path: &str) -> String {
    let script = r#"
import io, sys, urllib.request, zipfile, xml.etree.ElementTree as tree
got = urllib.request.urlopen(sys.argv[1])
print(got.headers['content-type'], got.headers['content-disposition'])
book = zipfile.ZipFile(io.BytesIO(got.read()))
assert book.testzip() is None
main = '{http://schemas.openxmlformats.org/spreadsheetml/2006/main}'
for row in tree.fromstring(book.read('xl/worksheets/sheet1.xml')).iter(main + 'row'):
    print(*[''.join(cell.itertext()) + ('' if cell.get('t') else '#') for cell in row], sep='|')
"#;
    let mut python = Command::new("python3")
        .args(["-X", "utf8", "-", &format!("http://{}{path}", node.admin)])
        .env("NO_PROXY", "*")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    python.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    said(python.wait_with_output().unwrap())
}

#[test]
fn tables_and_reports_are_taken_along_over_http_and_by_command() {
    let directory = TempDir::new().unwrap();
    let directory = directory.path();
    let node = start(directory, "");
    let months = Months::now();
    let Months { former, earlier } = &months;
    import(&node, &months);
    tables(&node, former);
    lists_of_ranges(&node, &months);

    // The same figures on the page, in a file, and in a text.
    let page = get(&node, &format!("/manage/sites/demo/report?month={former}"));
    assert!(page.header("content-security-policy").unwrap().contains("style-src 'self'"), "{}", page.head);
    assert!(!page.body.contains("<style") && page.body.contains("/manage/report.css?"), "{}", page.body);
    assert!(page.body.contains("Báo cáo thống kê truy cập") && page.body.contains("Độc lập - Tự do - Hạnh phúc"));
    assert!(page.body.contains("<b>120</b>") && page.body.contains("+20%"), "{}", page.body);
    let file = said(report(directory, &["demo"]));
    assert!(file.contains("<style>") && file.contains("@page") && !file.contains("<link") && !file.contains("<script"));
    assert!(file.contains("UBND xã Vị Xuyên") && file.contains("<b>120</b>") && file.contains("/tin-tuc/lu-quet"));
    // Without a period it is of the former month.
    let untimed = |file: &str| file.lines().filter(|line| !line.contains("Lập bằng thongke")).collect::<String>();
    assert_eq!(untimed(&said(report(directory, &["demo", "--month", former]))), untimed(&file));
    let text = said(report(directory, &["demo", "--month", former, "--format", "text", "--language", "en"]));
    assert!(text.contains("VISIT REPORT") && text.contains("+20%") && text.contains("/tin-tuc/lu-quet"), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 72), "{text}");
    let year = &earlier[..4];
    assert!(said(report(directory, &["demo", "--year", year, "--format", "text"])).contains(&format!("Năm {year}")));

    // Errors name what to do, in the shape that the reader expects.
    let refused = report(directory, &["demo", "--month", "2024-13"]);
    let message = String::from_utf8(refused.stderr).unwrap();
    assert!(!refused.status.success() && message.contains("`2024-13` is no month"), "{message}");
    let refused = String::from_utf8(report(directory, &["nobody"]).stderr).unwrap();
    assert!(refused.contains("there is no such site"), "{refused}");
    node.admin_get("/manage/sites/demo/report?format=pdf").problem(400);
    assert_eq!(node.admin_get("/manage/sites/demo/report?month=x").status, 400);
    assert_eq!(node.admin_get("/manage/sites/nobody/most-read.csv").status, 404);
    node.stop();
    let message = String::from_utf8(report(directory, &["demo"]).stderr).unwrap();
    assert!(message.contains("no node runs on"), "{message}");
}

fn tables(node: &Node, former: &str) {
    let csv = get(node, &format!("/manage/sites/demo/most-read.csv?range=month&on={former}-02&under=/tin-tuc"));
    assert_eq!(csv.header("content-type"), Some("text/csv; charset=utf-8"));
    let disposition = csv.header("content-disposition").unwrap();
    assert!(disposition.starts_with(&format!("attachment; filename=\"demo-most-read-{former}-01_")), "{disposition}");
    let expected = "\u{feff}Tiêu đề,Địa chỉ,Lượt xem,Tỷ lệ\r\n,/tin-tuc/lu-quet,60,0.5000\r\n";
    assert_eq!(csv.body, expected);
    let views = get(node, &format!("/manage/sites/demo/views.csv?range=month&on={former}-02&lang=en"));
    let lines: Vec<_> = views.body.lines().collect();
    assert_eq!(lines[..2], ["\u{feff}Day,Views,Former range", &format!("{former}-01,100,80")], "{}", views.body);
    let all = get(node, "/manage/sites.csv");
    assert!(all.body.contains("UBND xã Vị Xuyên,demo,0,0,0,"), "{}", all.body);
    let sheet = rows(node, &format!("/manage/sites/demo/most-read.xlsx?range=month&on={former}-02"));
    let lines: Vec<_> = sheet.lines().collect();
    assert!(lines[0].contains("spreadsheetml.sheet attachment; filename=\"demo-most-read-"), "{sheet}");
    assert_eq!(lines[1..3], ["Tiêu đề|Địa chỉ|Lượt xem|Tỷ lệ", "/tin-tuc/lu-quet|60#|0.500000#"], "{sheet}");
    for table in ["views", "most-read", "not-counted", "sources", "page-days", "page-months"] {
        for format in ["csv", "xlsx"] {
            get(node, &format!("/manage/sites/demo/{table}.{format}?page=/tin-tuc/lu-quet"));
        }
    }
    // Each table of a page leads to its files.
    let page = get(node, &format!("/manage/sites/demo?range=month&on={former}-02")).body;
    for link in ["views.csv", "views.xlsx", "most-read.csv", "most-read.xlsx"] {
        assert!(page.contains(&format!("/manage/sites/demo/{link}?range=month&#38;on={former}-")), "{link} in {page}");
    }
    assert!(page.contains(&format!("/manage/sites/demo/report?month={former}")), "{page}");
}

fn lists_of_ranges(node: &Node, Months { former, earlier }: &Months) {
    let list = |query: &str| node.get(&format!("/v1/sites/demo/pages?{query}"));
    let range = format!("from={earlier}&to={former}");
    let both = list(&format!("{range}&limit=2")).json();
    assert_eq!(both["pages"][0]["value"], 110, "{both}");
    assert_eq!(
        (&both["period"], both["from"].as_str().unwrap()),
        (&serde_json::Value::Null, &*format!("{earlier}-01"))
    );
    assert_eq!(both["pages"].as_array().unwrap().len(), 2);
    let folder = list(&format!("{range}&under=/tin-tuc")).json();
    assert_eq!((&folder["under"], folder["pages"].as_array().unwrap().len()), (&"/tin-tuc".into(), 1), "{folder}");
    let of_month = list(&format!("period={former}&under=tin-tuc-khac")).json();
    assert_eq!(of_month["pages"][0]["value"], 7, "{of_month}");
    let admin = node.admin_get(&format!("/sites/demo/pages/top?{range}&under=/tin-tuc")).json();
    assert_eq!(admin["pages"], folder["pages"]);
    assert!(list("from=2015-01-01").problem(400).contains("begin with"));
    assert!(list(&format!("period={former}&from={former}")).problem(400).contains("excludes"));
    assert!(node.admin_get(&format!("/sites/demo/pages?from={former}")).problem(400).contains("pages/top"));
    assert!(node.get("/v1/sites/demo/history?under=/a").problem(400).contains("/v1/sites/{site}/pages"));
    node.get(&format!("/v1/sites/kin/pages?{range}")).problem(403);
}

#[test]
fn a_node_without_editors_pages_makes_no_reports() {
    let directory = TempDir::new().unwrap();
    let node = start(directory.path(), "dashboard = \"off\"");
    assert_eq!(node.admin_get("/manage/sites/demo/report").status, 404);
    let refused = report(directory.path(), &["demo"]);
    assert!(String::from_utf8(refused.stderr).unwrap().contains("`dashboard = \"off\"`"));
}
