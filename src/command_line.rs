//! The commands, with the words that `--help` shows.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::config::Flags;
use crate::counter::SiteId;
use crate::counter::source::ImportName;

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
    /// Count and serve; what `thongke` alone does
    Serve,
    /// Check the configuration, and whether what it names can be used; 0: yes, perhaps with warnings,
    /// 1: something doesn't work, 2: the configuration is wrong
    Check,
    /// Whether a running node counts: exit 0 or 1, for container engines and scripts
    Health,
    /// Copy the node's counts into a new file, while it runs or not; the copy is checked
    Backup {
        /// The file to write; it must not exist
        file: PathBuf,
    },
    /// Take over old counts from a CSV file (`period,hits` or `period,page,hits`)
    Import {
        site: SiteId,
        /// The file; `-` reads standard input
        file: PathBuf,
        /// A name for where the counts come from; importing under it again replaces them
        #[arg(long, value_name = "NAME")]
        source: ImportName,
    },
    /// Write all counts of a site as CSV
    Export { site: SiteId },
    /// Show a site's figures as its pages show them
    Figures {
        site: SiteId,
        /// Write them as JSON
        #[arg(long)]
        json: bool,
    },
    /// Show who contributed what to a site's counts
    Sources {
        site: SiteId,
        /// Write them as a JSON array
        #[arg(long)]
        json: bool,
    },
    /// Show how many hits of a site were not counted, by day and kind: bots, prefetches, repeats
    Bots {
        site: SiteId,
        /// Write them as a JSON array
        #[arg(long)]
        json: bool,
    },
    /// Undo an import
    Forget {
        site: SiteId,
        /// The import's name
        #[arg(long, value_name = "NAME", value_parser = import_name)]
        source: ImportName,
    },
    /// Write what a shell needs to complete this command line
    Completions { shell: clap_complete::Shell },
    /// Write the manual pages into a folder
    #[command(hide = true)]
    Manual { folder: PathBuf },
}

/// `NAME`, or `import:NAME` as `sources` shows it.
fn import_name(text: &str) -> Result<ImportName, crate::counter::source::SourceError> {
    text.strip_prefix("import:").unwrap_or(text).parse()
}
