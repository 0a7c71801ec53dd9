use std::sync::OnceLock;
use std::time::Duration;

use rand::SeedableRng as _;
use rand::rngs::StdRng;

pub fn is_long() -> bool {
    std::env::var("EXPERIMENT_LONG").is_ok_and(|value| !matches!(value.as_str(), "" | "0"))
}

pub fn either<T>(short: T, long: T) -> T {
    if is_long() { long } else { short }
}

pub fn seconds(short: u64, long: u64) -> Duration {
    Duration::from_secs(either(short, long))
}

/// The seed of all of an experiment's dice; printed, and read from `EXPERIMENT_SEED`.
pub fn seed() -> u64 {
    static SEED: OnceLock<u64> = OnceLock::new();
    *SEED.get_or_init(|| match std::env::var("EXPERIMENT_SEED") {
        Ok(text) => text.parse().expect("EXPERIMENT_SEED is a whole number"),
        Err(_) => rand::random::<u32>().into(),
    })
}

/// Dice of one experiment, or of one part of it.
pub fn dice(part: &str) -> StdRng {
    let seed = seed();
    println!("{part}: EXPERIMENT_SEED={seed}");
    let name = part.bytes().fold(0_u64, |sum, byte| sum.wrapping_mul(257).wrapping_add(byte.into()));
    StdRng::seed_from_u64(seed ^ name)
}
