//! Log lines to standard error; their level of detail can change while the node runs.

use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::{Registry, reload};

use thongke::config::{Config, LogFormat};

/// Changes the level of detail.
pub struct Log {
    filter: reload::Handle<EnvFilter, Registry>,
    configured: String,
    /// Steps beyond the configured filter.
    steps: usize,
}

/// Filters that SIGUSR1 adds, one at a time.
const STEPS: [&str; 2] = ["thongke=debug", "thongke=trace"];

impl Log {
    pub fn to_stderr(config: &Config) -> Self {
        use tracing_subscriber::layer::SubscriberExt as _;
        use tracing_subscriber::util::SubscriberInitExt as _;
        let (filter, handle) = reload::Layer::new(EnvFilter::new(&config.log_filter));
        let registry = tracing_subscriber::registry().with(filter);
        let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
        match config.log_format {
            LogFormat::Text => {
                registry.with(lines.with_target(false).with_ansi(false)).init();
            }
            LogFormat::Json => registry.with(lines.json()).init(),
        }
        Self { filter: handle, configured: config.log_filter.clone(), steps: 0 }
    }

    /// Adds one step of detail, up to the last.
    pub fn raise(&mut self) {
        self.steps = (self.steps + 1).min(STEPS.len());
        self.apply();
    }

    /// Returns to the configured filter.
    pub fn reset(&mut self) {
        self.steps = 0;
        self.apply();
    }

    fn apply(&self) {
        let step = self.steps.checked_sub(1).and_then(|step| STEPS.get(step));
        let filter = step.map_or_else(|| self.configured.clone(), |step| format!("{},{step}", self.configured));
        match self.filter.reload(EnvFilter::new(&filter)) {
            Ok(()) => tracing::info!("log filter is now `{filter}`"),
            Err(error) => tracing::error!("can't change the log filter: {error}"),
        }
    }
}
