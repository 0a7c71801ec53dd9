//! `thongke backup`: a copy of the node's file, of a running node or a stopped one.

use std::path::Path;

use crate::config::Config;
use crate::ledger;

pub fn backup(config: &Config, target: &Path) -> anyhow::Result<()> {
    ledger::backup(&config.data_dir, target)?;
    let bytes = std::fs::metadata(target)?.len();
    println!("{}: {bytes} bytes, checked; to restore it, see docs/operations.md", target.display());
    Ok(())
}
