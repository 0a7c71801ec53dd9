//! A row of the journal, as a damaged disk or a newer program leaves it.

use thongke::counter::Tally;

pub fn holds(bytes: &[u8]) {
    one(bytes);
    // A correct checksum: nothing else keeps such bytes from the reader.
    let mut row = bytes.to_vec();
    row.extend_from_slice(&crc32fast::hash(bytes).to_le_bytes());
    one(&row);
}

fn one(row: &[u8]) {
    let Ok(tally) = Tally::decode(row) else { return };
    let mut written = Vec::new();
    tally.encode(&mut written);
    assert_eq!(Tally::decode(&written).as_ref(), Ok(&tally), "a row reads as it was written");
    let mut again = Vec::new();
    Tally::decode(&written).unwrap().encode(&mut again);
    assert_eq!(again.len(), written.len());
    // A visitor named twice is one visitor, and hits without a visitor are added.
    let mut merged = Tally::default();
    merged.merge(tally.clone());
    assert_eq!(merged, tally);
    let sum: u128 = tally.iter().map(|(_, hits)| u128::from(hits)).sum();
    let by_day: u128 = tally.by_day().into_iter().map(|(.., hits)| u128::from(hits)).sum();
    assert_eq!(sum, by_day);
    for (_, window, trace) in tally.clone().take_visitors() {
        assert!(trace.register() < 1 << 14 && (1..=51).contains(&trace.rank()), "{window:?} {trace:?}");
    }
}
