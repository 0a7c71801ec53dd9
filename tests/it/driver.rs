//! A real browser.

use std::process::Command;
use std::time::Duration;

use fantoccini::wd::WebDriverCompatibleCommand;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper::Method;
use url::{ParseError, Url};

use crate::node::until;
use crate::port::free_port;
use crate::process::Process;

/// Starts browsers.
pub struct Driver {
    _process: Process,
    port: u16,
}

impl Driver {
    pub fn start() -> Self {
        let port = free_port();
        let process = Process::start(Command::new("chromedriver").arg(format!("--port={port}")));
        until("chromedriver listens", Duration::from_secs(60), || {
            std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        Self { _process: process, port }
    }

    pub async fn browser(&self) -> Client {
        self.persons_browser().await
    }

    /// A browser like a person's: nothing reveals that a program drives it.
    pub async fn persons_browser(&self) -> Client {
        self.persons_browser_with(&[]).await
    }

    pub async fn persons_browser_with(&self, more: &[&str]) -> Client {
        let user_agent = "--user-agent=Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36";
        let persons = ["--disable-blink-features=AutomationControlled", user_agent];
        self.browser_with(&[&persons, more].concat()).await
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

/// Lines of the box on a page, once its figures are there.
pub async fn box_of(browser: &Client, page: &str) -> Vec<String> {
    browser.goto(page).await.unwrap();
    let found = browser.wait().for_element(Locator::Css("[data-thongke] .thongke-value")).await.unwrap();
    drop(found);
    let text = browser.find(Locator::Css("[data-thongke]")).await.unwrap().text().await.unwrap();
    text.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect()
}

/// A command of Chromium's developer tools that WebDriver lacks.
#[derive(Debug)]
pub struct DevTools {
    pub command: &'static str,
    pub parameters: serde_json::Value,
}

impl WebDriverCompatibleCommand for DevTools {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, ParseError> {
        base.join(&format!("session/{}/goog/cdp/execute", session.unwrap_or_default()))
    }

    fn method_and_body(&self, _: &Url) -> (Method, Option<String>) {
        let body = serde_json::json!({"cmd": self.command, "params": self.parameters});
        (Method::POST, Some(body.to_string()))
    }
}
