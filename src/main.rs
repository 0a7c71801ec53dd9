//! The program: parses the command line, loads the configuration, runs the command.

#![forbid(unsafe_code)]
// A panic would abort the node and every hit in flight; the clock and queues: clippy.toml.
#![cfg_attr(not(test), warn(clippy::disallowed_methods, clippy::unwrap_used, clippy::panic))]

mod log;

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use thongke::app::{self, ActivatedSockets, Reloader, service_manager};
use thongke::command_line::{ClockCommand, Command, CommandLine, SitesCommand};
use thongke::config::{Config, Environment, Flags, PublicAddress};
use thongke::operate;
use thongke::server::ReloadOrders;

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
    let environment = Environment::of_process();
    let config = Config::load(&flags, &environment).map_err(|error| usage(error.into()))?;
    let done = match &command.unwrap_or(Command::Serve) {
        Command::Serve => {
            let log = Log::to_stderr(&config);
            return serve(config, &flags, log);
        }
        Command::Check => operate::check(&config),
        Command::Config => operate::show_config(&config, &flags, &environment),
        Command::Health => operate::health(&config),
        Command::Backup { file } => operate::backup(&config, file),
        Command::Import { site, file, source } => operate::import(&config, site, file, source),
        Command::Export { site } => operate::export(&config, site),
        Command::Figures { site, json } => operate::figures(&config, site, *json),
        Command::Sources { site, json } => operate::sources(&config, site, *json),
        Command::Bots { site, json } => operate::bots(&config, site, *json),
        Command::Doctor { url } => operate::doctor(&config, url),
        Command::Refused { site, json } => operate::refused(&config, site.as_ref(), *json),
        Command::Pages(asked) => operate::pages(&config, asked),
        Command::Verify { site, repair, json } => operate::verify(&config, site.as_ref(), *repair, *json),
        Command::Sites { command } => match command {
            SitesCommand::List => operate::sites::list(&config),
            SitesCommand::Show { site } => operate::sites::show(&config, site),
            SitesCommand::Add { site, origin, name } => operate::sites::add(&config, site, origin, name.as_deref()),
            SitesCommand::Set { site, assignments } => operate::sites::set(&config, site, assignments),
            SitesCommand::Rename { site, to } => operate::sites::rename(&config, site, to),
            SitesCommand::Remove { site } => operate::sites::remove(&config, site),
            SitesCommand::Check => operate::sites::check(&config),
            SitesCommand::Reset { site, undo: true, .. } => operate::undo_reset(&config, site),
            SitesCommand::Reset { site, yes, .. } => operate::reset(&config, site, *yes),
        },
        Command::Token { command } => operate::tokens(&config, command),
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
    let (is_demo, path_prefix, folder) = (config.is_demo, config.path_prefix.clone(), config.sites_dir.clone());
    let (reload, orders) = ReloadOrders::channel();
    let start = |sockets| app::start_on(config, &sockets, reload.clone());
    let running = ActivatedSockets::take().and_then(start).map_err(usage)?;
    let look = if is_demo { ": open it to see a demo page count" } else { "" };
    match &running.public_address {
        PublicAddress::Tcp(address) => tracing::info!("counting on http://{address}{path_prefix}/{look}"),
        unix => tracing::info!("counting on {unix}"),
    }
    tracing::info!("metrics and health on http://{}/metrics", running.admin_address);
    service_manager::ready(&format!("counting on http://{}{path_prefix}/", running.public_address));
    runtime.block_on(async {
        tokio::select! {
            () = run_until_stopped(signals, &reload, log) => {}
            () = Reloader::new(&running, flags.clone(), folder).run(orders) => {}
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

/// Returns at SIGTERM or SIGINT; orders the sites to be read again at SIGHUP; logs more at SIGUSR1, as configured
/// at SIGUSR2.
async fn run_until_stopped(mut signals: Signals, reload: &ReloadOrders, mut log: Log) {
    loop {
        tokio::select! {
            _ = signals.terminate.recv() => return,
            _ = signals.interrupt.recv() => return,
            _ = signals.hangup.recv() => reload.order(),
            _ = signals.more_logs.recv() => log.raise(),
            _ = signals.usual_logs.recv() => log.reset(),
        }
    }
}
