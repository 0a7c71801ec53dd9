//! The whole chain, as a citizen sees it: an old counter's file, the clock at a known day, a real
//! browser.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use fantoccini::{Client, ClientBuilder, Locator};
use tempfile::TempDir;

use crate::node::{Node, PROGRAM, until};

pub struct Driver {
    child: Child,
    port: u16,
}

impl Driver {
    pub fn start() -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = Command::new("chromedriver")
            .arg(format!("--port={port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        until("chromedriver listens", Duration::from_secs(20), || {
            std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        Self { child, port }
    }

    async fn browser(&self) -> Client {
        self.browser_with(&[]).await
    }

    /// As a person's: nothing in it says that a program steers it.
    pub async fn persons_browser(&self) -> Client {
        let user_agent = "--user-agent=Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36";
        self.browser_with(&["--disable-blink-features=AutomationControlled", user_agent]).await
    }

    pub async fn browser_with(&self, more: &[&str]) -> Client {
        let usual = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-dev-shm-usage",
        ];
        let arguments: Vec<_> = usual.iter().chain(more).collect();
        let options = serde_json::json!({ "args": arguments });
        let capabilities = [("goog:chromeOptions".to_owned(), options)].into_iter().collect();
        let address = format!("http://127.0.0.1:{}", self.port);
        ClientBuilder::new(hyper_util::client::legacy::connect::HttpConnector::new())
            .capabilities(capabilities)
            .connect(&address)
            .await
            .unwrap()
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program with the clock starting at a moment. Not through the `faketime` command: signals
/// would reach that instead of the program.
fn at(moment: &str) -> Command {
    let library = std::fs::read_dir("/usr/lib")
        .unwrap()
        .map(|entry| entry.unwrap().path().join("faketime/libfaketime.so.1"))
        .find(|path| path.exists())
        .expect("libfaketime, of Debian's package faketime");
    let mut command = Command::new(PROGRAM);
    command
        .env("LD_PRELOAD", library)
        .env("FAKETIME", moment)
        .env("TZ", "Asia/Ho_Chi_Minh")
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    command
}

async fn box_of(browser: &Client, node: &Node) -> Vec<String> {
    browser.goto(&format!("http://{}/", node.public)).await.unwrap();
    let found = browser.wait().for_element(Locator::Css("[data-thongke] .thongke-value")).await.unwrap();
    drop(found);
    let text = browser.find(Locator::Css("[data-thongke]")).await.unwrap().text().await.unwrap();
    text.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect()
}

#[test]
fn an_old_counters_figures_stand_in_the_box_and_roll_over_at_local_midnight() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("old.csv");
    std::fs::write(&file, "period,hits\n2024-06-17,850\n2024-06-16,2455\n2024-06,49816\n2024,462202\n").unwrap();
    let data = directory.path().join("data");
    let import = |file: &std::path::Path| {
        let output = Command::new(PROGRAM)
            .args(["import", "demo"])
            .arg(file)
            .args(["--source", "old", "--data-dir"])
            .arg(&data)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    import(&file);
    let driver = Driver::start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let browser = driver.browser().await;
        let node = Node::start_as(at("@2024-06-17 10:15:00"), &data);
        // The page view that shows the figures is counted too.
        assert_eq!(
            box_of(&browser, &node).await,
            ["Thống kê truy cập", "Hôm nay : 851", "Hôm qua : 2.455", "Tháng 06 : 49.817", "Năm 2024 : 462.203"]
        );
        assert_eq!(
            box_of(&browser, &node).await,
            ["Thống kê truy cập", "Hôm nay : 852", "Hôm qua : 2.455", "Tháng 06 : 49.818", "Năm 2024 : 462.204"]
        );
        node.stop();
        let node = Node::start_as(at("@2024-06-17 23:59:58"), &data);
        until("midnight", Duration::from_secs(20), || node.figures().json()["figures"][0]["period"] == "2024-06-18");
        let figures = node.figures();
        assert_eq!((figures.figure("today"), figures.figure("yesterday"), figures.figure("month")), (0, 852, 49_818));
        // A corrected file with lower numbers replaces the first, on the running node.
        std::fs::write(&file, "period,hits\n2024-06-17,100\n").unwrap();
        import(&file);
        assert_eq!(node.figures().figure("yesterday"), 102);
        node.stop();
        browser.close().await.unwrap();
    });
}
