//! Flags that override the configuration file; the doc comments are their help texts.

use std::path::PathBuf;

/// Flags of every command. A flag overrides its environment variable, which overrides the file.
#[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args)]
pub struct Flags {
    /// The configuration file (TOML) that names your sites; without one, thongke serves a demo site
    /// [env: THONGKE_CONFIG]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Public address and port, for pages [default: 127.0.0.1:8080] [env:
    /// THONGKE_LISTEN]
    #[arg(long, global = true, value_name = "ADDR")]
    pub listen: Option<String>,

    /// Address and port for metrics, health, import and export; keep it off the internet [default:
    /// 127.0.0.1:8081] [env: THONGKE_ADMIN_LISTEN]
    #[arg(long, global = true, value_name = "ADDR")]
    pub admin_listen: Option<String>,

    /// The folder that holds the counts [default: ./data] [env: THONGKE_DATA_DIR]
    #[arg(long, global = true, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,

    /// A folder with a file SITE.toml for each site; changes in it take effect at once [env:
    /// THONGKE_SITES_DIR]
    #[arg(long, global = true, value_name = "DIR")]
    pub sites_dir: Option<PathBuf>,

    /// A Redis server that several nodes share, for example redis://10.0.0.5:6379; repeat it for
    /// further cluster seeds or sentinels [env: THONGKE_REDIS, separated by commas]
    #[arg(long, global = true, value_name = "URL")]
    pub redis: Vec<String>,

    /// Format of log lines [default: text] [env: THONGKE_LOG_FORMAT]
    #[arg(long, global = true, value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object a line, for a log collector.
    Json,
}
