//! The program: reads the command line, and runs the command until it is done or told to stop.

use std::process::ExitCode;

use clap::Parser as _;
use thongke::command_line::{Command, CommandLine};
use thongke::config::{Config, Environment, LogFormat, PublicAddress};
use thongke::{app, operate};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// A hit allocates a little; this allocator does it in the least time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The usage or the configuration is wrong, or a port or directory can't be used.
const EXIT_USAGE: u8 = 2;

fn main() -> ExitCode {
    let command_line = CommandLine::parse();
    let config = match Config::load(&command_line.flags, &Environment::of_process()) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("thongke: {error}");
            return ExitCode::from(EXIT_USAGE);
        }
    };
    let command = command_line.command.unwrap_or(Command::Serve);
    let outcome = match &command {
        Command::Serve => {
            log_to_stderr(&config);
            return serve(&config, &command_line.flags);
        }
        Command::Check => operate::check(&config),
        Command::Import { site, file, source } => operate::import(&config, site, file, source),
        Command::Export { site } => operate::export(&config, site),
        Command::Figures { site, json } => operate::figures(&config, site, *json),
        Command::Sources { site, json } => operate::sources(&config, site, *json),
        Command::Bots { site, json } => operate::bots(&config, site, *json),
        Command::Forget { site, source } => operate::forget(&config, site, source),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("thongke: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn serve(config: &Config, flags: &thongke::config::Flags) -> ExitCode {
    // Before anything else: a signal that comes early must end the node well too.
    let listening = tokio::runtime::Builder::new_current_thread().enable_all().build().and_then(|runtime| {
        let signals = runtime.block_on(async { Signals::listen() })?;
        Ok((runtime, signals))
    });
    let (runtime, signals) = match listening {
        Ok(listening) => listening,
        Err(error) => {
            eprintln!("thongke: can't listen for signals: {error}");
            return ExitCode::FAILURE;
        }
    };
    raise_descriptor_limit();
    let running = match app::start(config) {
        Ok(running) => running,
        Err(error) => {
            eprintln!("thongke: {error:#}");
            return ExitCode::from(EXIT_USAGE);
        }
    };
    let look = if config.is_demo { ": open it to see a demo page count" } else { "" };
    match &running.public_address {
        PublicAddress::Tcp(address) => tracing::info!("counting on http://{address}{}/{look}", config.path_prefix),
        unix => tracing::info!("counting on {unix}"),
    }
    tracing::info!("metrics and health on http://{}/metrics", running.admin_address);
    runtime.block_on(until_told_to_stop(signals, &running, flags));
    tracing::info!("stopping: finishing what is in flight");
    running.shutdown();
    ExitCode::SUCCESS
}

/// Each connection takes a descriptor, and the usual soft limit is from a time of 1,024 of them.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // Refused only by a sandbox, which then has its reasons.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }
}

/// Returns at SIGTERM or SIGINT; reads the sites again at SIGHUP.
async fn until_told_to_stop(mut signals: Signals, running: &app::Running, flags: &thongke::config::Flags) {
    loop {
        tokio::select! {
            _ = signals.terminate.recv() => return,
            _ = signals.interrupt.recv() => return,
            _ = signals.hangup.recv() => {}
        }
        let reloaded = match Config::load(flags, &Environment::of_process()) {
            Ok(config) => running.reload(&config).await,
            Err(error) => Err(error.into()),
        };
        match reloaded {
            Ok(()) => tracing::info!("sites read again; other settings need a restart"),
            Err(error) => tracing::error!("the configuration is left as it was: {error:#}"),
        }
    }
}

fn log_to_stderr(config: &Config) {
    let filter = tracing_subscriber::EnvFilter::new(&config.log_filter);
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match config.log_format {
        LogFormat::Text => builder.with_target(false).with_ansi(false).init(),
        LogFormat::Json => builder.json().init(),
    }
}
