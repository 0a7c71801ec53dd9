//! `thongke pages SITE --parameters`, and the warnings about page addresses that `thongke check` reports.

use anyhow::bail;
use hyper::Method;
use serde::Deserialize;

use super::{NodeRequest, ask, configured, from_json, print};
use crate::config::Config;
use crate::counter::SiteId;
use crate::ledger::{DirectoryLock, Holder};
use crate::server::hit::parameters::ParametersOfDay;
use crate::server::routes::Admin;

/// Shows the site's parameters of today, which only a running node knows.
pub fn parameters(config: &Config, site: &SiteId, as_json: bool) -> anyhow::Result<()> {
    let Some(Holder { admin_address: Some(admin), .. }) = DirectoryLock::holder(&config.data_dir) else {
        configured(config, site)?;
        bail!("no node runs on {}, and only a running node knows today's parameters", config.data_dir.display());
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let answer = runtime.block_on(ask(config, &admin, NodeRequest::new(Method::GET, Admin::Parameters, site)))?;
    let ParametersOfDay { day, parameters, displaced } = from_json(&answer)?;
    if as_json {
        return print(String::from_utf8_lossy(&answer).trim_end());
    }
    print(&format!(
        "{day}\n{:<24}  {:<24}  {:<10}  {:>9}  {:>7}  {:>7}  example",
        "folder", "parameter", "fate", "addresses", "values", "titles"
    ))?;
    let number = |number: Option<u32>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
    for one in parameters {
        let noise = if one.looks_like_noise { "  looks like noise" } else { "" };
        print(&format!(
            "{:<24}  {:<24}  {:<10}  {:>9}  {:>7}  {:>7}  {}{noise}",
            one.folder,
            one.name,
            one.fate,
            one.addresses,
            number(one.values),
            number(one.titles),
            one.examples.first().map_or("", String::as_str)
        ))?;
    }
    if displaced > 0 {
        print(&format!("only the most frequent are shown: {displaced} times one made room for another"))?;
    }
    Ok(())
}

/// Warnings about page addresses that the running node has given today or yesterday, in words.
pub fn page_warnings(config: &Config) -> anyhow::Result<Vec<String>> {
    #[derive(Deserialize)]
    struct Warning {
        site: String,
        detail: String,
    }
    #[derive(Default, Deserialize)]
    struct Listed {
        warnings: Vec<Warning>,
        more: usize,
    }
    let Some(Holder { admin_address: Some(admin), .. }) = DirectoryLock::holder(&config.data_dir) else {
        return Ok(Vec::new());
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // A node that doesn't answer is `thongke health`'s to report.
    let answer = runtime.block_on(ask(config, &admin, NodeRequest::of_node(Method::GET, Admin::Warnings)));
    let listed: Listed = answer.ok().and_then(|body| serde_json::from_slice(&body).ok()).unwrap_or_default();
    let named = listed.warnings.into_iter().map(|Warning { site, detail }| format!("site {site}: {detail}"));
    let more = (listed.more > 0).then(|| format!("{} more warnings about page addresses", listed.more));
    Ok(named.chain(more).collect())
}
