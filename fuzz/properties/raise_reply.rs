//! The reply of Redis to `raise.lua`, as its bytes arrive.

use thongke::counter::contribution::HITS_MAX;
use thongke::counter::{Contribution, PageAddress, Period, Register};
use thongke::redis::merge_counts::MergeCounts;

/// Whole numbers that a double, and so Lua, holds exactly.
const EXACT_MAX: u64 = 1 << 53;

pub fn holds(reply: &[u8]) {
    let Ok(value) = redis::parse_redis_value(reply) else { return };
    let call = call();
    // None: a reply of another shape; the call is repeated.
    let Some(merged) = call.decode(value) else { return };
    assert_eq!(merged.rows.len(), call.rows.len());
    for (row, sent) in merged.rows.iter().zip(&call.rows) {
        assert_eq!((&row.source, row.period, row.is_page), (&sent.source, sent.period, sent.page.is_some()));
        assert!(row.total.unsigned_abs() < EXACT_MAX, "{row:?}");
        for register in [Some(row.now), row.before].into_iter().flatten() {
            assert!(register.hits().unsigned_abs() < EXACT_MAX, "{row:?}");
            let same_kind = matches!(
                (register, sent.register),
                (Register::Grown(_), Register::Grown(_)) | (Register::Written { .. }, Register::Written { .. })
            );
            assert!(same_kind, "{row:?}");
            assert_eq!(register.merge(register), register);
        }
    }
    // By key and source, in the order of their first mention.
    assert_eq!(merged.digests.len(), 3);
    assert_eq!(merged.digests[0].place, (None, call.rows[0].source.clone()));
}

/// A call with every part: a run's and an import's counts, of the site and of a page.
fn call() -> MergeCounts {
    let (run, import) = ("00000000000000ff".parse().unwrap(), "import:old".parse().unwrap());
    let day: Period = "2024-06-17".parse().unwrap();
    let contribution = |source: &thongke::counter::Source, page: Option<&str>, register| Contribution {
        source: source.clone(),
        period: day,
        page: page.map(PageAddress::from_stored),
        register,
    };
    MergeCounts {
        rows: vec![
            contribution(&run, None, Register::Grown(7)),
            contribution(&run, Some("/a"), Register::Grown(HITS_MAX)),
            contribution(&import, None, Register::Written { generation: 3, hits: -2 }),
        ],
    }
}
