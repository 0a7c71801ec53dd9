//! Writes a manual page for each command and the completions of each shell into a folder.

#![forbid(unsafe_code)]

use std::path::PathBuf;

use clap::CommandFactory as _;
use clap_complete::{Shell, generate};
use thongke::command_line::CommandLine;

fn main() -> std::io::Result<()> {
    let Some(folder) = std::env::args_os().nth(1).map(PathBuf::from) else {
        return Err(std::io::Error::other("usage: thongke-manual FOLDER"));
    };
    std::fs::create_dir_all(&folder)?;
    clap_mangen::generate_to(CommandLine::command(), &folder)?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        let mut script = std::fs::File::create(folder.join(format!("thongke.{shell}")))?;
        generate(shell, &mut CommandLine::command(), "thongke", &mut script);
    }
    Ok(())
}
