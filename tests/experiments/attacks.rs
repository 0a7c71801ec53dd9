use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::host::{Host, TIMEOUT, until_right};
use crate::length::{dice, seconds};
use crate::node::ask;

/// Phases that all clients follow.
const QUIET: u8 = 0;
const ATTACKED: u8 = 1;
const OVER: u8 = 2;

const READERS: usize = 12;
const PAGES: usize = 5;

/// Most that a node's tables of strangers take, in kB.
const MORE_MAX: u64 = 200_000;

const CONFIGURATION: &str = "trusted_proxies = [\"127.0.0.1\"]\n\
    [sites.a]\norigins = [\"http://a.example\"]\nvisitors = true\n\
    [sites.b]\norigins = [\"http://b.example\"]\n\
    [limits]\nconnections_per_address = 2000\n";

/// Addresses of the node, and what an attacker needs beside them.
#[derive(Clone)]
struct Target {
    public: String,
    admin: String,
}

/// One act of an attacker.
type Attack = fn(&Target, &mut StdRng);

/// Attacks, each with the number of its clients and their pause.
const ATTACKS: [(Attack, usize, Duration); 8] = [
    (invented_page, 3, Duration::from_millis(10)),
    (strange_agent, 1, Duration::from_millis(20)),
    (different_read, 2, Duration::from_millis(20)),
    (refused_hit, 1, Duration::from_millis(20)),
    (broken_pipeline, 1, Duration::from_millis(200)),
    (slow_request, 1, Duration::from_millis(100)),
    (import, 1, Duration::from_secs(5)),
    (foreign_change, 1, Duration::from_millis(200)),
];

#[test]
fn memory_is_bounded_and_no_readers_hit_is_lost_under_all_attacks_at_once() {
    let mut dice = dice("all attacks");
    let mut host = Host::new(None);
    host.configure_as(CONFIGURATION);
    host.start();
    let target = Target { public: host.node().public.clone(), admin: host.node().admin.clone() };
    let phase = AtomicU8::new(QUIET);
    let (counted, memory) = std::thread::scope(|scope| {
        let readers: Vec<_> = (0..READERS)
            .map(|reader| {
                let (target, phase, dice) = (&target, &phase, StdRng::seed_from_u64(dice.random()));
                scope.spawn(move || read_pages(target, reader, dice, phase))
            })
            .collect();
        for (attack, clients, pause) in ATTACKS {
            for _ in 0..clients {
                let (target, phase, mut dice) = (&target, &phase, StdRng::seed_from_u64(dice.random()));
                scope.spawn(move || {
                    while phase.load(Ordering::Relaxed) != OVER {
                        if phase.load(Ordering::Relaxed) == ATTACKED {
                            attack(target, &mut dice);
                        }
                        std::thread::sleep(pause);
                    }
                });
            }
        }
        let memory = |after: Duration| {
            std::thread::sleep(after);
            memory_of(host.node().id())
        };
        let before = memory(seconds(3, 60));
        phase.store(ATTACKED, Ordering::Relaxed);
        let (begun, mut most) = (Instant::now(), before);
        while begun.elapsed() < seconds(10, 1_800) {
            most = most.max(memory(Duration::from_millis(500)));
            if most > before + MORE_MAX {
                break;
            }
        }
        phase.store(QUIET, Ordering::Relaxed);
        let after = memory(seconds(2, 180));
        phase.store(OVER, Ordering::Relaxed);
        let mut counted = HashMap::<String, i64>::new();
        for reader in readers {
            for (page, hits) in reader.join().unwrap() {
                *counted.entry(page).or_default() += hits;
            }
        }
        (counted, [before, most, after])
    });
    let [before, most, after] = memory;
    println!("memory in kB: {before} before, {most} at most, {after} after");
    assert!(counted.values().sum::<i64>() > 50, "{counted:?}");
    until_right("the figures of readers' pages", TIMEOUT, || {
        let wrong = counted.iter().filter_map(|(page, hits)| {
            let path = format!("/v1/sites/a/pages/figures?figures=total&url=http://a.example{page}");
            let shown = host.node().get(&path).json()["pages"][0]["figures"][0]["value"].as_i64();
            (shown != Some(*hits)).then(|| format!("{page}: {hits} acknowledged, {shown:?} shown"))
        });
        wrong.collect()
    });
    assert!(most < before + MORE_MAX, "memory grows without end: {before}, {most}, {after}");
    host.stop();
}

/// A reader of the portal's pages: every hit is acknowledged, whatever else happens.
fn read_pages(target: &Target, reader: usize, mut dice: StdRng, phase: &AtomicU8) -> HashMap<String, i64> {
    let mut counted = HashMap::new();
    while phase.load(Ordering::Relaxed) != OVER {
        let page = format!("/bai-{}", dice.random_range(0..PAGES));
        let body = format!(r#"{{"site":"a","url":"http://a.example{page}","title":"Bài {page}"}}"#);
        let address = format!("X-Forwarded-For: 118.{reader}.{}.9", dice.random_range(0..200));
        let answer = answer_of(target, &hit("a", &address, &body));
        assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("hit: counted"), "{answer}");
        *counted.entry(page).or_default() += 1;
        std::thread::sleep(Duration::from_millis(200));
    }
    counted
}

fn hit(site: &str, field: &str, body: &str) -> Vec<u8> {
    let agent = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0";
    format!(
        "POST /v1/hit HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nUser-Agent: {agent}\r\n\
         Origin: http://{site}.example\r\n{field}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// Sends bytes on a connection of their own, and reads all that comes.
fn answer_of(target: &Target, bytes: &[u8]) -> String {
    let mut answer = Vec::new();
    let asked = TcpStream::connect(&target.public).and_then(|mut stream| {
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        stream.write_all(bytes)?;
        stream.read_to_end(&mut answer)
    });
    match asked {
        Err(error) if answer.is_empty() => error.to_string(),
        _ => String::from_utf8_lossy(&answer).into_owned(),
    }
}

fn stranger(dice: &mut StdRng) -> String {
    let [a, b, c] = [(); 3].map(|()| dice.random_range(1..223_u8));
    format!("X-Forwarded-For: {a}.{b}.{c}.7")
}

fn invented_page(target: &Target, dice: &mut StdRng) {
    let [page, name, value] = [(); 3].map(|()| dice.random::<u32>());
    let body = format!(
        r#"{{"site":"a","url":"http://a.example/x{page}?p{name}={value}","title":"Nhà cái {value}","canonical":"http://a.example/y{value}"}}"#
    );
    answer_of(target, &hit("a", &stranger(dice), &body));
}

fn strange_agent(target: &Target, dice: &mut StdRng) {
    let agent: Vec<u8> = (0..400).map(|_| dice.random_range(33..=255)).collect();
    let body = r#"{"site":"a","url":"http://a.example/a"}"#;
    let mut bytes = b"POST /v1/hit HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nUser-Agent: ".to_vec();
    bytes.extend(agent.into_iter().filter(|byte| *byte != 127));
    bytes.extend(format!("\r\n{}\r\nContent-Length: {}\r\n\r\n{body}", stranger(dice), body.len()).bytes());
    answer_of(target, &bytes);
}

fn different_read(target: &Target, dice: &mut StdRng) {
    let (last, number) = (dice.random_range(1..1_100), dice.random::<u32>());
    let path = match dice.random_range(0..4) {
        0 => format!("history?by=day&last={last}&x={number}"),
        1 => format!("chart.svg?by=day&last={}", 1 + last % 60),
        2 => format!("pages?period=2026-{:02}&limit={}", 1 + last % 12, 1 + last % 99),
        _ => format!("pages/figures?figures=today,total&url=http://a.example/q{number}&url=http://a.example/r{number}"),
    };
    let stranger = stranger(dice);
    let request =
        format!("GET /v1/sites/a/{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{stranger}\r\n\r\n");
    answer_of(target, request.as_bytes());
}

fn refused_hit(target: &Target, dice: &mut StdRng) {
    let number = dice.random::<u32>();
    let site = ["a".to_owned(), format!("nowhere-{number}")][dice.random_range(0..2)].clone();
    let body = format!(r#"{{"site":"{site}","url":"http://h{number}.example/a"}}"#);
    answer_of(target, &hit(&format!("h{number}"), &stranger(dice), &body));
}

fn broken_pipeline(target: &Target, dice: &mut StdRng) {
    let good = "GET /v1/sites/a/figures HTTP/1.1\r\nHost: localhost\r\nConnection: persistent\r\n\r\n".repeat(20);
    let rubbish = (0..200).map(|_| dice.random::<u8>());
    answer_of(target, &good.bytes().chain(rubbish).chain(*b"\r\n\r\n").collect::<Vec<_>>());
}

fn slow_request(target: &Target, dice: &mut StdRng) {
    let Ok(mut stream) = TcpStream::connect(&target.public) else { return };
    let padding = "a".repeat(dice.random_range(1..3_000));
    let _ = stream.write_all(format!("POST /v1/hit HTTP/1.1\r\nHost: localhost\r\nX: {padding}").as_bytes());
    // The node closes it.
    std::thread::spawn(move || stream.read_to_end(&mut Vec::new()));
}

fn import(target: &Target, dice: &mut StdRng) {
    let rows = (0..dice.random_range(1..5_000)).map(|row| {
        let (month, day) = (1 + row % 12, 1 + row / 12 % 28);
        format!("2020-{month:02}-{day:02},/cu-{},{}\n", row / 336, 1 + row % 7)
    });
    let rows: String = rows.collect();
    let end = if dice.random() { "" } else { "broken\n" };
    let body = format!("period,page,hits\n{rows}{end}");
    ask(&target.admin, "POST", "/sites/b/import?source=old", &["Content-Type: text/csv"], &body);
}

fn foreign_change(target: &Target, _: &mut StdRng) {
    let fields = ["Content-Type: text/plain", "Origin: https://evil.example"];
    assert_eq!(ask(&target.admin, "POST", "/sites/a/repair", &fields, "").status, 403);
}

/// The process's resident memory in kB.
fn memory_of(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
