//! The program: parses the command line, loads the configuration, runs the command.

#![forbid(unsafe_code)]
// A panic would abort the node and every hit in flight; the clock and queues: clippy.toml.
#![cfg_attr(not(test), warn(clippy::disallowed_methods, clippy::unwrap_used, clippy::panic))]

mod log;

use std::pin::pin;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use futures_util::future::{Fuse, FusedFuture as _, FutureExt as _};
use thongke::app::{self, ActivatedSockets, service_manager};
use thongke::command_line::{ClockCommand, Command, CommandLine, SitesCommand};
use thongke::config::{Config, Environment, Flags, PublicAddress};
use thongke::operate;

use log::Log;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The fastest allocator for the small allocations of a hit.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Exit code for wrong usage, a wrong configuration, or a port or directory that can't be used.
const EXIT_USAGE: u8 = 2;

fn main() -> ExitCode {
    match run(CommandLine::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err((code, error)) => {
            eprintln!("thongke: {}", with_causes(&error));
            code
        }
    }
}

fn run(CommandLine { flags, command }: CommandLine) -> Result<(), (ExitCode, anyhow::Error)> {
    let config = Config::load(&flags, &Environment::of_process()).map_err(|error| usage(error.into()))?;
    let done = match &command.unwrap_or(Command::Serve) {
        Command::Serve => {
            let log = Log::to_stderr(&config);
            return serve(config, &flags, log);
        }
        Command::Check => operate::check(&config),
        Command::Health => operate::health(&config),
        Command::Backup { file } => operate::backup(&config, file),
        Command::Import { site, file, source } => operate::import(&config, site, file, source),
        Command::Export { site } => operate::export(&config, site),
        Command::Figures { site, json } => operate::figures(&config, site, *json),
        Command::Sources { site, json } => operate::sources(&config, site, *json),
        Command::Bots { site, json } => operate::bots(&config, site, *json),
        Command::Pages(asked) => operate::pages(&config, asked),
        Command::Verify { site, repair, json } => operate::verify(&config, site.as_ref(), *repair, *json),
        Command::Sites { command: SitesCommand::Reset { site, undo: true, .. } } => operate::undo_reset(&config, site),
        Command::Sites { command: SitesCommand::Reset { site, yes, .. } } => operate::reset(&config, site, *yes),
        Command::Clock { command: ClockCommand::Accept } => operate::accept_clock(&config),
        Command::Forget { site, source } => operate::forget(&config, site, source),
    };
    done.map_err(failure)
}

fn usage(error: anyhow::Error) -> (ExitCode, anyhow::Error) {
    (ExitCode::from(EXIT_USAGE), error)
}

fn failure(error: anyhow::Error) -> (ExitCode, anyhow::Error) {
    (ExitCode::FAILURE, error)
}

/// The error with its causes. Some errors name their cause themselves; it is not repeated.
fn with_causes(error: &anyhow::Error) -> String {
    error.chain().skip(1).map(ToString::to_string).fold(error.to_string(), |words, cause| {
        if words.contains(&cause) { words } else { format!("{words}: {cause}") }
    })
}

fn serve(config: Config, flags: &Flags, log: Log) -> Result<(), (ExitCode, anyhow::Error)> {
    // First of all: an early signal must end the node well too.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let listening = runtime.and_then(|runtime| {
        let signals = runtime.block_on(async { Signals::listen() })?;
        Ok((runtime, signals))
    });
    let (runtime, signals) = listening.context("can't listen for signals").map_err(failure)?;
    raise_descriptor_limit();
    let (is_demo, path_prefix) = (config.is_demo, config.path_prefix.clone());
    let running = ActivatedSockets::take().and_then(|sockets| app::start_on(config, &sockets)).map_err(usage)?;
    let look = if is_demo { ": open it to see a demo page count" } else { "" };
    match &running.public_address {
        PublicAddress::Tcp(address) => tracing::info!("counting on http://{address}{path_prefix}/{look}"),
        unix => tracing::info!("counting on {unix}"),
    }
    tracing::info!("metrics and health on http://{}/metrics", running.admin_address);
    service_manager::ready(&format!("counting on http://{}{path_prefix}/", running.public_address));
    runtime.block_on(async {
        tokio::select! {
            () = run_until_stopped(signals, &running, flags, log) => {}
            () = service_manager::feed_watchdog(&running) => {}
        }
    });
    service_manager::stopping();
    // Without waiting for a configuration that is still being read.
    runtime.shutdown_background();
    tracing::info!("stopping: finishing open requests");
    running.shutdown();
    Ok(())
}

/// Raises the soft limit to the hard one: each connection takes a descriptor, and the usual limit is 1,024.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // Only a sandbox refuses this; the node works with fewer connections then.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    more_logs: Signal,
    usual_logs: Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            more_logs: signal(SignalKind::user_defined1())?,
            usual_logs: signal(SignalKind::user_defined2())?,
        })
    }
}

/// Returns at SIGTERM or SIGINT; reads the sites again at SIGHUP; logs more at SIGUSR1, as configured
/// at SIGUSR2.
async fn run_until_stopped(mut signals: Signals, running: &app::Running, flags: &Flags, mut log: Log) {
    let mut reloading = pin!(Fuse::terminated());
    // A signal came while the configuration was read: it may have changed behind the reader.
    let mut is_outdated = false;
    loop {
        tokio::select! {
            _ = signals.terminate.recv() => return,
            _ = signals.interrupt.recv() => return,
            _ = signals.more_logs.recv() => {
                log.raise();
                continue;
            }
            _ = signals.usual_logs.recv() => {
                log.reset();
                continue;
            }
            _ = signals.hangup.recv() => {}
            () = &mut reloading, if !reloading.is_terminated() => {
                if !std::mem::take(&mut is_outdated) {
                    continue;
                }
            }
        }
        if reloading.is_terminated() {
            reloading.set(reload(running, flags.clone()).fuse());
        } else {
            is_outdated = true;
        }
    }
}

/// Reads the configuration again, in a thread of its own: a slow disk must not keep signals waiting.
async fn reload(running: &app::Running, flags: Flags) {
    service_manager::reloading();
    let loading = tokio::task::spawn_blocking(move || Config::load(&flags, &Environment::of_process()));
    let reloaded = match loading.await {
        Ok(Ok(config)) => running.reload(config).await,
        Ok(Err(error)) => Err(error.into()),
        Err(error) => Err(error.into()),
    };
    match reloaded {
        Ok(()) => tracing::info!("sites reloaded; other settings need a restart"),
        Err(error) => tracing::error!("reload failed, the configuration stays as it was: {}", with_causes(&error)),
    }
    service_manager::ready(&format!("counting on http://{}", running.public_address));
}
