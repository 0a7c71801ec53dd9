//! What the command line may say about the configuration, with the words that `--help` shows.

use std::path::PathBuf;

/// The flags that every command takes. Each is stronger than its environment variable, which is
/// stronger than the file.
#[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args)]
pub struct Flags {
    /// The configuration file (TOML) that names your sites; without one, thongke serves a demo site
    /// [env: THONGKE_CONFIG]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Where pages reach the counter: an address and a port [default: 127.0.0.1:8080] [env:
    /// THONGKE_LISTEN]
    #[arg(long, global = true, value_name = "ADDR")]
    pub listen: Option<String>,

    /// Where you reach it: metrics, health, import and export; keep it off the internet [default:
    /// 127.0.0.1:8081] [env: THONGKE_ADMIN_LISTEN]
    #[arg(long, global = true, value_name = "ADDR")]
    pub admin_listen: Option<String>,

    /// The folder that holds the counts [default: ./data] [env: THONGKE_DATA_DIR]
    #[arg(long, global = true, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,

    /// A Redis server that several nodes share, for example redis://10.0.0.5:6379; repeat it for
    /// further cluster seeds or sentinels [env: THONGKE_REDIS, separated by commas]
    #[arg(long, global = true, value_name = "URL")]
    pub redis: Vec<String>,

    /// How log lines are written [default: text] [env: THONGKE_LOG_FORMAT]
    #[arg(long, global = true, value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line, for a log collector.
    Json,
}
