//! The command line: its doc comments are the help texts.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum, value_parser};

use crate::config::{Assignment, Flags};
use crate::counter::source::ImportName;
use crate::counter::tokens::change::DAYS_MAX;
use crate::counter::{Language, Right, SiteId};
use crate::doctor::PageUrl;

/// Counts the visits of your pages and shows the figures on them.
#[derive(Debug, Parser)]
#[command(name = "thongke", version, args_conflicts_with_subcommands = false)]
pub struct CommandLine {
    #[command(flatten)]
    pub flags: Flags,
    #[command(subcommand)]
    pub command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Count and serve; `thongke` alone does the same
    Serve,
    /// Check the configuration and everything it names; exit 0: all works, perhaps with warnings,
    /// 1: something doesn't work, 2: the configuration is wrong
    Check,
    /// Print the settings in force as TOML, each with the place where it is set; secrets are hidden
    Config,
    /// Check that a running node counts: exit 0 or 1, for container engines and scripts
    Health,
    /// Copy the counts of a running or stopped node into a new file, and check the copy
    Backup {
        /// The file to write; it must not exist
        file: PathBuf,
    },
    /// Import old counts from a CSV file (`period,hits` or `period,page,hits`)
    Import {
        site: SiteId,
        /// The file; `-` reads standard input
        file: PathBuf,
        /// Name of the import; importing again under the same name replaces its counts
        #[arg(long, value_name = "NAME", value_parser = ImportName::from_shown)]
        source: ImportName,
    },
    /// Write all counts of a site as CSV, also of a removed one
    Export { site: SiteId },
    /// Show a site's figures as its pages show them
    Figures {
        site: SiteId,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show the sources of a site's counts: runs of this node, imports, other nodes
    Sources {
        site: SiteId,
        /// Print a JSON array
        #[arg(long)]
        json: bool,
    },
    /// Show a site's uncounted hits by day and kind: bots, prefetches, repeats, excluded addresses
    Bots {
        site: SiteId,
        /// Print a JSON array
        #[arg(long)]
        json: bool,
    },
    /// Fetch a page of a portal and say whether its views count, without counting one; exit 0: all fits,
    /// 1: something doesn't
    Doctor {
        /// The page, such as `https://portal.example.vn/tin-tuc`
        #[arg(value_name = "PAGE")]
        url: PageUrl,
    },
    /// Show hits that the running node has refused, since when and how often, and what to do
    Refused {
        /// The site; without one, all sites and ids that no site has
        site: Option<SiteId>,
        /// Print a JSON object
        #[arg(long)]
        json: bool,
    },
    /// List a site's pages, the most read first; name, merge, hide or delete them
    Pages(Pages),
    /// Write a site's report of a month, quarter or year, by default of the former month, for a printer or a mail
    Report(Report),
    /// Compare the counts in the node's file, in Redis and of other nodes; exit 0: all agree,
    /// 1: something differs
    Verify {
        /// The site; without one, all sites
        site: Option<SiteId>,
        /// Publish all counts of the file again, and set each counter in Redis to the sum of its sources
        #[arg(long)]
        repair: bool,
        /// Print a JSON object with the findings of each site
        #[arg(long)]
        json: bool,
    },
    /// List the sites; add, change or remove one in the folder of sites; reset one
    Sites {
        #[command(subcommand)]
        command: SitesCommand,
    },
    /// Make, list and revoke the tokens by which editors see their sites' pages at `/manage`
    Token {
        #[command(subcommand)]
        command: TokenCommand,
    },
    /// Tell the node whether its clock is right
    Clock {
        #[command(subcommand)]
        command: ClockCommand,
    },
    /// Undo an import
    Forget {
        site: SiteId,
        /// The import's name
        #[arg(long, value_name = "NAME", value_parser = ImportName::from_shown)]
        source: ImportName,
    },
}

#[derive(Debug, Args)]
#[group(skip)]
#[command(group = ArgGroup::new("change").args(["title", "merge", "hide", "delete"]))]
#[command(group = ArgGroup::new("action").args(["title", "merge", "hide", "delete", "rules", "parameters"]))]
pub struct Pages {
    pub site: SiteId,
    /// Period of the list: a day such as 2024-06-17, a month such as 2024-06, or `total` [default: this month]
    #[arg(long, conflicts_with = "action")]
    pub period: Option<String>,
    /// Length of the list, at most 100 [default: 20]
    #[arg(long, value_name = "NUMBER", conflicts_with = "action", value_parser = value_parser!(u8).range(1..=100))]
    pub limit: Option<u8>,
    /// Show a page under this title instead of the one that its readers' browsers send
    #[arg(long, num_args = 1..=2, value_names = ["PAGE", "TEXT"])]
    pub title: Option<Vec<String>>,
    /// Count and show a page as another one
    #[arg(long, num_args = 1..=2, value_names = ["PAGE", "INTO"])]
    pub merge: Option<Vec<String>>,
    /// Leave a page out of lists; its own figures stay
    #[arg(long, value_name = "PAGE")]
    pub hide: Option<String>,
    /// Show nothing of a page; its hits count for the site alone
    #[arg(long, value_name = "PAGE")]
    pub delete: Option<String>,
    /// Undo the title, merge, hiding or deletion of the page
    #[arg(long, requires = "change")]
    pub undo: bool,
    /// Show the rules that were set
    #[arg(long)]
    pub rules: bool,
    /// Show which parameters made pages apart today or were dropped, on a running node
    #[arg(long)]
    pub parameters: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
#[group(skip)]
#[command(group = ArgGroup::new("reported").args(["month", "quarter", "year"]))]
pub struct Report {
    pub site: SiteId,
    /// Report of a month, such as 2024-06
    #[arg(long)]
    pub month: Option<String>,
    /// Report of a quarter, such as 2024-Q2
    #[arg(long)]
    pub quarter: Option<String>,
    /// Report of a year, such as 2024
    #[arg(long)]
    pub year: Option<String>,
    /// One HTML file with all it needs, or text of 72 columns
    #[arg(long, value_enum, default_value_t = ReportFormat::Html)]
    pub format: ReportFormat,
    /// Language, vi or en [default: the site's]
    #[arg(long)]
    pub language: Option<Language>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ReportFormat {
    Html,
    Text,
}

#[derive(Debug, Subcommand)]
pub enum SitesCommand {
    /// List the sites with their origins, and removed ones whose counts stay
    List,
    /// Show a site's settings and the tag for its pages
    Show { site: SiteId },
    /// Add a site to the folder of sites
    Add {
        site: SiteId,
        /// An origin of the site's pages, such as `https://portal.example.vn`; repeat it for more
        #[arg(long, value_name = "ORIGIN", required = true)]
        origin: Vec<String>,
        /// Name for people
        #[arg(long)]
        name: Option<String>,
    },
    /// Change settings of a site in the folder of sites: `name=Text`, `origins+=https://www.a.vn`, `bots=` for the default
    Set {
        site: SiteId,
        #[arg(required = true, value_name = "KEY=VALUE")]
        assignments: Vec<Assignment>,
    },
    /// Give a site of the folder of sites another id, with all its counts; its former id stays an alias
    Rename { site: SiteId, to: SiteId },
    /// Remove a site from the folder of sites; its counts stay
    Remove { site: SiteId },
    /// Check all sites; exit 0: they can be used, 2: one is wrong
    Check,
    /// Set all figures of a site and its pages to zero, on all nodes; hits go on from there
    Reset {
        site: SiteId,
        /// Do it; without this flag, only say what would be done
        #[arg(long)]
        yes: bool,
        /// Take the reset back: figures are as if it had never been
        #[arg(long, conflicts_with = "yes")]
        undo: bool,
    },
}

#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a token and print it, this once
    Make(MakeToken),
    /// List the tokens: names, rights and sites
    List {
        /// Print a JSON array
        #[arg(long)]
        json: bool,
    },
    /// Revoke a token: it opens nothing any more, and sessions by it end
    Revoke { name: String },
}

#[derive(Debug, Args)]
pub struct MakeToken {
    /// The token's name: a-z, 0-9, `.`, `_` and `-`; a share link may do without
    #[arg(required_unless_present = "share")]
    pub name: Option<String>,
    /// Right on the sites: `view` shows, `edit` also changes
    #[arg(long, required_unless_present = "share")]
    pub right: Option<Right>,
    /// A site, or the beginning of several such as `xa-*`; repeat it for more
    #[arg(long, value_name = "ID", required = true, num_args = 1..)]
    pub site: Vec<String>,
    /// Days after which it opens nothing [default: none]
    #[arg(long, value_name = "NUMBER", value_parser = value_parser!(u32).range(1..=i64::from(DAYS_MAX)))]
    pub days: Option<u32>,
    /// Make a share link, which shows one site to everyone who has it
    #[arg(long)]
    pub share: bool,
    /// Change nothing; print lines for a configuration that is mounted read-only
    #[arg(long)]
    pub print: bool,
    /// Print JSON
    #[arg(long, conflicts_with = "print")]
    pub json: bool,
}

#[derive(Debug, Subcommand)]
pub enum ClockCommand {
    /// Believe the clock as it is now: what is over by it may be deleted
    Accept,
}
