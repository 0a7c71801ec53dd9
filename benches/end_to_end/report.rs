//! Tables on the terminal, and their numbers as JSON.

use serde_json::json;

use crate::arguments::Arguments;
use crate::drive::cores::Cores;
use crate::drive::table::Table;
use crate::drive::{self, stats};
use crate::open::OpenSample;
use crate::results::Results;
use crate::rows::Row;
use crate::run::Sample;
use crate::targets;

pub fn print_and_keep(
    arguments: &Arguments,
    cores: Cores,
    rows: &[Row],
    rounds: &[Vec<Sample>],
    open: &[Vec<OpenSample>],
) {
    let results = Results { rows, rounds, open };
    let mut text = String::new();
    if !rows.is_empty() {
        text += &format!("{}\n", closed(&results));
        let of_others = stats::median(rounds.iter().flatten().map(|sample| sample.cores_of_others).collect());
        text += &format!("other processes kept {of_others:.2} of {} cores busy meanwhile\n\n", cores.count);
    }
    if !open.is_empty() {
        text += &format!("{}\n", open_loop(&results));
    }
    let verdicts = targets::verdicts(&results);
    text += &targets::table(&verdicts).to_string();
    print!("{text}");

    let kept = json!({
        "commit": drive::commit(),
        "time": thongke::clock::now().to_rfc3339(),
        "quick": arguments.quick,
        "cores": cores.count,
        "rows": rows.iter().enumerate().map(|(at, row)| json!({
            "name": row.name,
            "connections": row.connections,
            "base": row.base,
            "cpu_ratio": results.ratio(row.name, row.base, row.connections, Sample::both_cpus_us),
            "rounds": rounds.iter().map(|round| round[at]).collect::<Vec<_>>(),
        })).collect::<Vec<_>>(),
        "open": open,
        "targets": verdicts,
    });
    let directory = drive::directory();
    let json = serde_json::to_string_pretty(&kept).expect("numbers and names are JSON");
    std::fs::write(directory.join("end_to_end.json"), json).expect("the results can be kept");
    std::fs::write(directory.join("end_to_end.txt"), text).expect("the results can be kept");
    println!("\nkept in {}", directory.join("end_to_end.json").display());
}

fn closed(results: &Results<'_>) -> Table {
    let mut table = Table::new(&[
        "closed loop · connections",
        "req/s",
        "p50 ms",
        "p99 ms",
        "CPU µs",
        "Redis µs",
        "ratio",
        "to",
        "MiB",
        "syncs/1k",
        "Redis cmds/1k",
        "client µs",
    ]);
    for (at, row) in results.rows.iter().enumerate() {
        let median = |value: fn(&Sample) -> f64| results.median(at, value);
        let ratio = results.ratio(row.name, row.base, row.connections, Sample::both_cpus_us);
        let shown = |value: f64, digits: usize| if value == 0.0 { String::new() } else { format!("{value:.digits$}") };
        table.add(vec![
            row.title(),
            format!("{:.0}", median(|sample| sample.requests_per_second)),
            format!("{:.2}", median(|sample| sample.p50_ms)),
            format!("{:.2}", median(|sample| sample.p99_ms)),
            format!("{:.2}", median(|sample| sample.cpu_us)),
            shown(median(|sample| sample.redis_cpu_us), 2),
            ratio.map_or(String::new(), |ratio| format!("{ratio:.2}")),
            row.base.to_owned(),
            format!("{:.1}", median(|sample| sample.resident_bytes as f64 / 1048576.0)),
            shown(median(|sample| sample.syncs_per_1000), 1),
            shown(median(|sample| sample.redis_commands_per_1000), 2),
            format!("{:.2}", median(|sample| sample.client_cpu_us)),
        ]);
    }
    table
}

fn open_loop(results: &Results<'_>) -> Table {
    let mut table = Table::new(&["open loop", "hits/s", "p50 ms", "p99 ms", "CPU µs", "sent late, p50 ms"]);
    for (at, row) in results.open.first().into_iter().flatten().enumerate() {
        let median = |value: fn(&OpenSample) -> f64| results.open(|round| round.get(at).map(value)).unwrap_or(f64::NAN);
        table.add(vec![
            row.name.to_owned(),
            if row.rate == 0 { String::new() } else { row.rate.to_string() },
            format!("{:.3}", median(|sample| sample.p50_ms)),
            format!("{:.3}", median(|sample| sample.p99_ms)),
            if row.rate == 0 { String::new() } else { format!("{:.1}", median(|sample| sample.cpu_us)) },
            if row.rate == 0 { String::new() } else { format!("{:.3}", median(|sample| sample.late_p50_ms)) },
        ]);
    }
    table
}
