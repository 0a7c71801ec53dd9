//! The program: reads the command line, and runs the command until it is done or told to stop.

#![forbid(unsafe_code)]
// A panic would abort the node and every hit in flight; the clock and queues: clippy.toml.

mod log;

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use thongke::app::{self, Inherited, service_manager};
use thongke::command_line::{Command, CommandLine};
use thongke::config::{Config, Environment, PublicAddress};
use thongke::{manual, operate};

use log::Log;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// A hit allocates a little; this allocator does it in the least time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The usage or the configuration is wrong, or a port or directory can't be used.
const EXIT_USAGE: u8 = 2;

fn main() -> ExitCode {
    let command_line = CommandLine::parse();
    let command = command_line.command.unwrap_or(Command::Serve);
    // These need no configuration, and must work beside a wrong one.
    match &command {
        Command::Completions { shell } => return exit(print(&manual::completions(*shell))),
        Command::Manual { folder } => return exit(manual::write_pages(folder).map_err(anyhow::Error::from)),
        _ => {}
    }
    let config = match Config::load(&command_line.flags, &Environment::of_process()) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("thongke: {error}");
            return ExitCode::from(EXIT_USAGE);
        }
    };
    exit(match &command {
        Command::Serve => {
            let log = Log::to_stderr(&config);
            return serve(config, &command_line.flags, log);
        }
        Command::Completions { .. } | Command::Manual { .. } => Ok(()),
        Command::Check => operate::check(&config),
        Command::Health => operate::health(&config),
        Command::Backup { file } => operate::backup(&config, file),
        Command::Import { site, file, source } => operate::import(&config, site, file, source),
        Command::Export { site } => operate::export(&config, site),
        Command::Figures { site, json } => operate::figures(&config, site, *json),
        Command::Sources { site, json } => operate::sources(&config, site, *json),
        Command::Bots { site, json } => operate::bots(&config, site, *json),
        Command::Verify { site, repair, json } => operate::verify(&config, site.as_ref(), *repair, *json),
        Command::Forget { site, source } => operate::forget(&config, site, source),
    })
}

fn print(text: &[u8]) -> anyhow::Result<()> {
    std::io::stdout().write_all(text).context("can't write to standard output")
}

fn exit(outcome: anyhow::Result<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("thongke: {}", in_words(&error));
            ExitCode::FAILURE
        }
    }
}

/// An error with its causes, each said once: some name theirs themselves.
fn in_words(error: &anyhow::Error) -> String {
    error.chain().skip(1).map(ToString::to_string).fold(error.to_string(), |words, cause| {
        if words.contains(&cause) { words } else { format!("{words}: {cause}") }
    })
}

fn serve(config: Config, flags: &thongke::config::Flags, log: Log) -> ExitCode {
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
    let (is_demo, path_prefix) = (config.is_demo, config.path_prefix.clone());
    let running = match Inherited::take().and_then(|inherited| app::start_on(config, &inherited)) {
        Ok(running) => running,
        Err(error) => {
            eprintln!("thongke: {}", in_words(&error));
            return ExitCode::from(EXIT_USAGE);
        }
    };
    let look = if is_demo { ": open it to see a demo page count" } else { "" };
    match &running.public_address {
        PublicAddress::Tcp(address) => tracing::info!("counting on http://{address}{path_prefix}/{look}"),
        unix => tracing::info!("counting on {unix}"),
    }
    tracing::info!("metrics and health on http://{}/metrics", running.admin_address);
    service_manager::ready(&format!("counting on http://{}{path_prefix}/", running.public_address));
    runtime.block_on(async {
        tokio::select! {
            () = until_told_to_stop(signals, &running, flags, log) => {}
            () = service_manager::feed_watchdog(&running) => {}
        }
    });
    service_manager::stopping();
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
    more: Signal,
    as_configured: Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            more: signal(SignalKind::user_defined1())?,
            as_configured: signal(SignalKind::user_defined2())?,
        })
    }
}

/// Returns at SIGTERM or SIGINT; reads the sites again at SIGHUP; logs more at SIGUSR1, as configured
/// at SIGUSR2.
async fn until_told_to_stop(
    mut signals: Signals,
    running: &app::Running,
    flags: &thongke::config::Flags,
    mut log: Log,
) {
    loop {
        tokio::select! {
            _ = signals.terminate.recv() => return,
            _ = signals.interrupt.recv() => return,
            _ = signals.more.recv() => {
                log.say_more();
                continue;
            }
            _ = signals.as_configured.recv() => {
                log.say_as_configured();
                continue;
            }
            _ = signals.hangup.recv() => {}
        }
        service_manager::reloading();
        let reloaded = match Config::load(flags, &Environment::of_process()) {
            Ok(config) => running.reload(config).await,
            Err(error) => Err(error.into()),
        };
        match reloaded {
            Ok(()) => tracing::info!("sites read again; other settings need a restart"),
            Err(error) => tracing::error!("the configuration is left as it was: {}", in_words(&error)),
        }
        service_manager::ready(&format!("counting on http://{}", running.public_address));
    }
}
