//! `cargo bench --bench end_to_end`: our server beside baselines on loopback.
//!
//! Rows are driven in turn, round after round, so that the machine's noise reaches all of them. A ratio is
//! the median over the rounds of the two rows' ratio within a round. CPU time per request is the figure to
//! trust: it is far steadier than requests per second.
//!
//! `-- --quick` takes under a minute. `-- hit` drives only rows with `hit` in their name and the rows that
//! they are compared with. `-- --help` lists the rest.

mod arguments;
mod contestants;
mod open;
mod report;
mod results;
mod rows;
mod run;
mod targets;

#[path = "../drive/mod.rs"]
mod drive;

/// Baselines are built and allocate as the program does.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    drive::baseline::serve_if_requested();
    let arguments = <arguments::Arguments as clap::Parser>::parse();
    let cores = drive::cores::Cores::find();
    drive::cores::stay_on(cores.client);
    let directory = tempfile::tempdir_in(drive::directory()).expect("a directory for the servers' files");
    let chosen = rows::chosen(&arguments);
    let contestants = contestants::Contestants::start(directory.path(), cores, &chosen, arguments.has_open_loop());
    let rounds = run::closed_loop(&arguments, &contestants, &chosen);
    let open = if arguments.has_open_loop() {
        open::run(&arguments, &contestants, cores, directory.path())
    } else {
        Vec::new()
    };
    report::print_and_keep(&arguments, cores, &chosen, &rounds, &open);
}
