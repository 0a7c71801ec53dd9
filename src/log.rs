//! Log lines to standard error, and how many of them: that can change while the node runs.

use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::{Registry, reload};

use thongke::config::{Config, LogFormat};

/// Changes what is logged.
pub struct Log {
    filter: reload::Handle<EnvFilter, Registry>,
    configured: String,
    /// Steps beyond what is configured.
    more: usize,
}

/// What each SIGUSR1 adds.
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
        Self { filter: handle, configured: config.log_filter.clone(), more: 0 }
    }

    /// One step more detail, up to all there is.
    pub fn say_more(&mut self) {
        self.more = (self.more + 1).min(STEPS.len());
        self.apply();
    }

    /// As the configuration says again.
    pub fn say_as_configured(&mut self) {
        self.more = 0;
        self.apply();
    }

    fn apply(&self) {
        let step = self.more.checked_sub(1).and_then(|step| STEPS.get(step));
        let filter = step.map_or_else(|| self.configured.clone(), |step| format!("{},{step}", self.configured));
        match self.filter.reload(EnvFilter::new(&filter)) {
            Ok(()) => tracing::info!("log lines are now filtered by `{filter}`"),
            Err(error) => tracing::error!("the log's filter can't be changed: {error}"),
        }
    }
}
