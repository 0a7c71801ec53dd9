//! The operator's commands: on a running node through its admin listener, on a stopped one on its
//! files.

mod backup;
mod check;
mod health;
mod verify;

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::sync::Arc;

use crate::clock;
use anyhow::{Context as _, bail};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;

use crate::bots::{CENSUS_FILE, Census, CensusRow};
use crate::config::Config;
use crate::counter::account::{ImportReport, SourceAccount};
use crate::counter::csv::{self, HEADER_PAGES};
use crate::counter::source::ImportName;
use crate::counter::{Figures, RegisteredSite, SiteId, figures};
use crate::ledger::{DirectoryLock, Holder, Ledger, has_been_used};
use crate::metrics::Metrics;
use crate::server::routes::{Admin, admin_path};

pub use backup::backup;
pub use check::check;
pub use health::health;
pub use verify::verify;

/// Rows that an export reads at once.
const EXPORT_STEP: usize = 1_000;

/// Where a command is carried out.
enum Place {
    /// A node runs on the data directory; its admin listener is at this address.
    Running(String),
    Stopped(Box<Ledger>, Arc<RegisteredSite>),
}

/// What is done in a folder in which no node has counted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum OnNothing {
    /// Old counts may be there before the node.
    Begin,
    /// Zeroes read out of the wrong folder would be believed.
    Refuse,
}

pub fn import(config: &Config, site: &SiteId, file: &Path, name: &ImportName) -> anyhow::Result<()> {
    let mut text = Vec::new();
    if file == Path::new("-") {
        std::io::stdin().read_to_end(&mut text).context("can't read standard input")?;
    } else {
        text = std::fs::read(file).with_context(|| format!("can't read {}", file.display()))?;
    }
    let report: ImportReport = on_the_node_or(config, site, OnNothing::Begin, async |place| match place {
        Place::Running(admin) => {
            let path = admin_path(Admin::Import, site.as_str()) + "?source=" + name.as_str();
            let answer = ask(config, &admin, Method::POST, &path, Bytes::from(text)).await?;
            Ok(serde_json::from_slice(&answer)?)
        }
        Place::Stopped(ledger, site) => {
            let rows = csv::parse(&text, &site.site.page_params)?;
            let report = ledger.import(site.number, name.clone(), rows, clock::now()).await;
            ledger.close();
            Ok(report?)
        }
    })?;
    say(&report);
    Ok(())
}

pub fn forget(config: &Config, site: &SiteId, name: &ImportName) -> anyhow::Result<()> {
    let report: Option<ImportReport> = on_the_node(config, site, async |place| match place {
        Place::Running(admin) => {
            let path =
                admin_path(Admin::Forget, site.as_str()).replace("{source}", &format!("import:{}", name.as_str()));
            let answer = ask(config, &admin, Method::DELETE, &path, Bytes::new()).await?;
            Ok(Some(serde_json::from_slice(&answer)?))
        }
        Place::Stopped(ledger, site) => {
            let report = ledger.forget(site.number, name.clone(), clock::now()).await;
            ledger.close();
            Ok(report?)
        }
    })?;
    match report {
        Some(report) => say(&report),
        None => bail!("site `{site}` has no import `{}`; `thongke sources {site}` shows what it has", name.as_str()),
    }
    Ok(())
}

pub fn export(config: &Config, site: &SiteId) -> anyhow::Result<()> {
    let text: Vec<u8> = on_the_node(config, site, async |place| match place {
        Place::Running(admin) => {
            Ok(ask(config, &admin, Method::GET, &admin_path(Admin::Export, site.as_str()), Bytes::new())
                .await?
                .to_vec())
        }
        Place::Stopped(ledger, site) => {
            let mut text = format!("{HEADER_PAGES}\n").into_bytes();
            let mut after = None;
            loop {
                let rows = ledger.export(site.number, after, EXPORT_STEP).await?;
                let Some(last) = rows.last() else { break };
                rows.iter().for_each(|row| csv::write_row(&mut text, row));
                after = Some(last.clone());
            }
            ledger.close();
            Ok(text)
        }
    })?;
    std::io::stdout().write_all(&text).context("can't write to standard output")
}

/// With `as_json`, in the words of the node's answer.
pub fn figures(config: &Config, site: &SiteId, as_json: bool) -> anyhow::Result<()> {
    let text: String = on_the_node(config, site, async |place| match place {
        Place::Running(admin) => {
            let answer =
                ask(config, &admin, Method::GET, &admin_path(Admin::Figures, site.as_str()), Bytes::new()).await?;
            Ok(String::from_utf8(answer.to_vec())?)
        }
        Place::Stopped(ledger, site) => {
            let now = clock::now();
            let today = crate::counter::Day::at(now, site.site.time_zone);
            let periods = figures::periods(&site.site.figures, today);
            let hits = ledger.hits(site.number, &periods).await;
            let visitors = ledger.visitors(&site, now).await;
            ledger.close();
            let (hits, (visitors, _)) = (hits?.hits, visitors?);
            let hits = |period| {
                periods.iter().position(|wanted| *wanted == period).and_then(|at| hits.get(at)).copied().unwrap_or(0)
            };
            let figures = Figures::compose(&site.site, &site.site.figures, now, false, hits, visitors);
            Ok(serde_json::to_string(&figures)?)
        }
    })?;
    if as_json {
        return print(text.trim_end());
    }
    let json: serde_json::Value = serde_json::from_str(&text)?;
    println!("{}", json["title"].as_str().unwrap_or_default());
    for figure in json["figures"].as_array().into_iter().flatten() {
        println!("{} : {}", figure["label"].as_str().unwrap_or_default(), figure["text"].as_str().unwrap_or_default());
    }
    Ok(())
}

/// With `as_json`, as a JSON array.
pub fn sources(config: &Config, site: &SiteId, as_json: bool) -> anyhow::Result<()> {
    let sources: Vec<SourceAccount> = on_the_node(config, site, async |place| match place {
        Place::Running(admin) => {
            let answer =
                ask(config, &admin, Method::GET, &admin_path(Admin::Sources, site.as_str()), Bytes::new()).await?;
            Ok(serde_json::from_slice(&answer)?)
        }
        Place::Stopped(ledger, site) => {
            let sources = ledger.sources(site.number).await;
            ledger.close();
            Ok(sources?)
        }
    })?;
    if as_json {
        return print(&serde_json::to_string(&sources)?);
    }
    println!(
        "{:<24} {:>12}  {:<10}  {:<10}  {:>10}  {:>10}  note",
        "source", "total", "first day", "last day", "counters", "pages"
    );
    for source in sources {
        let note = match (source.current, source.remote) {
            (true, _) => "runs now",
            (_, true) => "another node's",
            _ => "",
        };
        let day = |day: &Option<String>| day.clone().unwrap_or_else(|| "-".to_owned());
        println!(
            "{:<24} {:>12}  {:<10}  {:<10}  {:>10}  {:>10}  {note}",
            source.source,
            source.total,
            day(&source.first_day),
            day(&source.last_day),
            source.site_rows,
            source.page_rows
        );
    }
    Ok(())
}

/// With `as_json`, as a JSON array.
pub fn bots(config: &Config, site: &SiteId, as_json: bool) -> anyhow::Result<()> {
    let rows: Vec<CensusRow> = on_the_node(config, site, async |place| match place {
        Place::Running(admin) => {
            let answer =
                ask(config, &admin, Method::GET, &admin_path(Admin::Bots, site.as_str()), Bytes::new()).await?;
            Ok(serde_json::from_slice(&answer)?)
        }
        Place::Stopped(ledger, site) => {
            ledger.close();
            let text = std::fs::read_to_string(config.data_dir.join(CENSUS_FILE)).unwrap_or_default();
            Ok(Census::from_lines(&text).rows(&site.site.id))
        }
    })?;
    if as_json {
        return print(&serde_json::to_string(&rows)?);
    }
    print(&format!("{:<10}  {:<18}  {:>12}", "day", "kind", "not counted"))?;
    rows.iter().try_for_each(|row| print(&format!("{:<10}  {:<18}  {:>12}", row.day, row.kind, row.hits)))
}

/// A line for another program, which may have gone away.
fn print(line: &str) -> anyhow::Result<()> {
    writeln!(std::io::stdout(), "{line}").context("can't write to standard output")
}

fn say(report: &ImportReport) {
    println!(
        "{}: counters set: {}; set back to 0, since only an earlier import had them: {}",
        report.source, report.rows, report.cleared
    );
    if report.made_elsewhere {
        println!(
            "an import of this name was made on another node too: if it had rows of pages, correct or forget those there"
        );
    }
    if !report.days_also_counted_live.is_empty() {
        println!(
            "these days have other hits too, and their figures are now the sum of both: {}",
            report.days_also_counted_live.join(", ")
        );
    }
}

fn on_the_node<T>(
    config: &Config,
    site: &SiteId,
    work: impl AsyncFnOnce(Place) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    on_the_node_or(config, site, OnNothing::Refuse, work)
}

fn on_the_node_or<T>(
    config: &Config,
    site: &SiteId,
    on_nothing: OnNothing,
    work: impl AsyncFnOnce(Place) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let place = match DirectoryLock::holder(&config.data_dir) {
        Some(Holder { admin_address: Some(admin), .. }) => Place::Running(admin),
        Some(Holder { process, .. }) => bail!(
            "process {process} is at work on the data directory {}; try again when it has ended",
            config.data_dir.display()
        ),
        None if on_nothing == OnNothing::Refuse && !has_been_used(&config.data_dir) => bail!(
            "nothing was ever counted in {}; name the node's folder with --data-dir or its configuration with --config",
            config.data_dir.display()
        ),
        None => {
            let lock = DirectoryLock::take(&config.data_dir)?;
            let (ledger, sites) = Ledger::open(
                lock,
                &config.data_dir,
                config.sites.clone(),
                !config.redis.is_empty(),
                Arc::new(Metrics::new()),
            )?;
            let known = || config.sites.iter().map(|site| site.id.to_string()).collect::<Vec<_>>().join(", ");
            let site = sites
                .get(site.as_str())
                .cloned()
                .with_context(|| format!("there is no site `{site}`; there is {}", known()))?;
            Place::Stopped(Box::new(ledger), site)
        }
    };
    runtime.block_on(work(place))
}

/// One request to the running node's admin listener; its answer's body, or what it refused.
async fn ask(config: &Config, admin: &str, method: Method, path: &str, body: Bytes) -> anyhow::Result<Bytes> {
    let stream = tokio::net::TcpStream::connect(admin)
        .await
        .with_context(|| format!("the running node's admin listener {admin} can't be reached"))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let mut request = Request::builder().method(method).uri(path).header(HOST, admin).header(CONTENT_TYPE, "text/csv");
    if let Some(token) = &config.admin_token {
        request = request.header(AUTHORIZATION, format!("Bearer {}", token.expose()));
    }
    let request = request.body(Full::new(body))?;
    // Moved in, so that the connection ends when the answer is there.
    let answering = async move {
        let answer = sender.send_request(request).await?;
        let status = answer.status();
        Ok::<_, hyper::Error>((status, answer.into_body().collect().await?.to_bytes()))
    };
    let (outcome, _) = tokio::join!(answering, connection);
    let (status, body) = outcome.context("the running node's answer broke off; its log says why")?;
    if status != StatusCode::OK {
        let problem: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
        bail!("{}", problem["detail"].as_str().unwrap_or("the node refused"));
    }
    Ok(body)
}
