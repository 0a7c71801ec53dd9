//! `thongke report`: a running node's report of a month, quarter or year.

use std::io::Write as _;

use anyhow::{Context as _, bail};
use hyper::Method;

use super::{NodeRequest, ask};
use crate::command_line::{Report, ReportFormat};
use crate::config::Config;
use crate::ledger::{DirectoryLock, Holder};
use crate::server::routes::manage_report_path;

pub fn report(config: &Config, asked: &Report) -> anyhow::Result<()> {
    let directory = &config.data_dir;
    let admin = match DirectoryLock::holder(directory) {
        Some(Holder { admin_address: Some(admin), .. }) => admin,
        Some(Holder { process, .. }) => {
            bail!("process {process} uses the data directory {}; try again when it has ended", directory.display())
        }
        None => bail!(
            "no node runs on {}; a report is made by a running node, which knows all nodes' counts: start it, or name \
             its folder with --data-dir",
            directory.display()
        ),
    };
    if !config.dashboard.is_on_admin() {
        bail!("`dashboard = \"off\"` turns the editors' pages off, and the report is one of them; set it to \"admin\"");
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let path = format!("{}?{}", manage_report_path(asked.site.as_str()), query(asked));
    let text = runtime.block_on(ask(config, &admin, NodeRequest::to(Method::GET, path)))?;
    std::io::stdout().write_all(&text).context("can't write to standard output")
}

fn query(asked: &Report) -> String {
    let format = match asked.format {
        ReportFormat::Html => "html",
        ReportFormat::Text => "text",
    };
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("format", format);
    for (name, value) in [("month", &asked.month), ("quarter", &asked.quarter), ("year", &asked.year)] {
        if let Some(value) = value {
            query.append_pair(name, value);
        }
    }
    if let Some(language) = asked.language {
        query.append_pair("lang", language.tag());
    }
    query.finish()
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::command_line::{Command, CommandLine};

    fn asked(words: &str) -> Result<String, String> {
        let line = format!("thongke report demo {words}");
        match CommandLine::try_parse_from(line.split_whitespace()).map_err(|error| error.to_string())?.command {
            Some(Command::Report(asked)) => Ok(query(&asked)),
            other => Err(format!("{other:?}")),
        }
    }

    #[test]
    fn a_report_is_of_one_period_in_one_form() {
        assert_eq!(asked("").unwrap(), "format=html");
        assert_eq!(
            asked("--quarter 2026-Q4 --format text --language en").unwrap(),
            "format=text&quarter=2026-Q4&lang=en"
        );
        assert_eq!(asked("--month 2026-11 --format html").unwrap(), "format=html&month=2026-11");
        for words in ["--month 2026-11 --year 2026", "--format pdf", "--language fr", "--month"] {
            assert!(asked(words).is_err(), "{words}");
        }
    }
}
