//! The command line of `cargo bench --bench end_to_end -- …`.

use std::time::Duration;

/// Drives our server and baselines in turn, and prints one table.
#[derive(Debug, clap::Parser)]
#[command(name = "end_to_end")]
pub struct Arguments {
    /// Only rows whose name contains one of these, and the rows that they are compared with
    pub rows: Vec<String>,
    /// Under a minute: fewer and shorter rounds, without the rows that need long ones
    #[arg(long)]
    pub quick: bool,
    /// Rounds per row [default: 7, with --quick 3]
    #[arg(long)]
    rounds: Option<usize>,
    /// Seconds per row and round [default: 3, with --quick 0.5]
    #[arg(long)]
    seconds: Option<f64>,
    /// Only the closed loop
    #[arg(long, conflicts_with = "open")]
    closed: bool,
    /// Only the open loop
    #[arg(long)]
    pub open: bool,
    /// The argument that `cargo bench` adds
    #[arg(long, hide = true)]
    bench: bool,
}

impl Arguments {
    pub fn rounds(&self) -> usize {
        self.rounds.unwrap_or(if self.quick { 3 } else { 7 })
    }

    pub fn drive_time(&self) -> Duration {
        Duration::from_secs_f64(self.seconds.unwrap_or(if self.quick { 0.5 } else { 3.0 }))
    }

    pub fn has_open_loop(&self) -> bool {
        !self.closed && (self.open || self.rows.is_empty())
    }

    /// Number of the open loop's rounds, and time of each row in one.
    pub fn open_rounds(&self) -> (usize, Duration) {
        let (rounds, seconds) = if self.quick { (1, 1.0) } else { (5, 5.0) };
        (self.rounds.unwrap_or(rounds), Duration::from_secs_f64(self.seconds.unwrap_or(seconds)))
    }
}
