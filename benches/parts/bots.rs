//! The bot lists and one User-Agent that no cache knows. The bound of each row is 60 µs, whatever its bytes.

use criterion::Criterion;
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use std::hint::black_box;
use thongke::bots::Lists;

const BROWSER: &str =
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/137.0.0.0 Safari/537.36";

/// Beginnings of many patterns, and parts that are exceptions.
const PIECES: [&str; 12] = [
    "GoogleAssociationServic",
    "Contextualbo",
    "Spider",
    "Android 7.0; a bot;",
    "SogouMSE",
    " bo",
    "http:/",
    "index/1",
    "CuBot",
    "dataprovider-co",
    "Current",
    "sistrix ",
];

/// The longest User-Agent that is read.
const BYTES: usize = 512;

/// Texts that share a measurement.
const TEXTS: usize = 64;

pub fn bench(criterion: &mut Criterion) {
    let mut random = SmallRng::seed_from_u64(1);
    let mut made_of = |part: &mut dyn FnMut(&mut SmallRng) -> String| -> Vec<String> {
        let mut text = || {
            let mut text = String::new();
            while text.len() < BYTES {
                text.push_str(&part(&mut random));
            }
            text
        };
        (0..TEXTS).map(|_| text()).collect()
    };
    let letters: Vec<char> = "aăâbcdđeêghiklmnoôơpqrstuưvxyàáảãạằắẳẵặấềểệìíỉĩịờớởỡợứửữựỳýỷỹỵ /".chars().collect();
    let rows = [
        ("a browser's User-Agent", vec![BROWSER.to_owned()]),
        ("one letter beyond ASCII", vec![format!("{BROWSER} Cốc")]),
        ("random bytes", made_of(&mut |random| String::from_utf8_lossy(&[random.random()]).into_owned())),
        ("Vietnamese letters", made_of(&mut |random| letters[random.random_range(0..letters.len())].to_string())),
        ("beginnings of patterns", made_of(&mut |random| PIECES[random.random_range(0..PIECES.len())].to_owned())),
    ];
    let mut group = criterion.benchmark_group("bots");
    for (name, texts) in rows {
        let mut texts = texts.iter().cycle();
        group.bench_function(name, |bencher| {
            bencher.iter(|| texts.next().and_then(|text| Lists::get().recognise(black_box(text))));
        });
    }
    group.finish();
}
