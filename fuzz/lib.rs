//! Fuzzing targets of the properties. Without `cargo fuzz`, a target checks the files that it is given.

#[path = "properties/mod.rs"]
pub mod properties;

#[cfg(fuzzing)]
pub use libfuzzer_sys;

/// The program of a target.
#[macro_export]
macro_rules! target {
    ($property:ident) => {
        #[cfg(fuzzing)]
        $crate::libfuzzer_sys::fuzz_target!(|input: &[u8]| $crate::properties::$property::holds(input));

        #[cfg(not(fuzzing))]
        fn main() -> std::io::Result<()> {
            std::env::args_os()
                .skip(1)
                .try_for_each(|file| Ok($crate::properties::$property::holds(&std::fs::read(file)?)))
        }
    };
}
