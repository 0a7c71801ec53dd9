//! A regular expression as one complete automaton.
//!
//! A search reads each byte once, whatever the bytes are. An automaton that is built while it searches can be
//! made to build all the time: that costs milliseconds a text.

use regex_automata::Input;
use regex_automata::dfa::dense::{BuildError, Builder, Config, DFA};
use regex_automata::dfa::{Automaton as _, StartKind};
use regex_automata::nfa::thompson;
use regex_automata::util::syntax;

/// Limit of an automaton's memory, while it is built as well.
const BYTES_MAX: usize = 8 << 20;

/// A pattern over bytes, of which letters and digits are ASCII's.
#[derive(Debug)]
pub struct Automaton(DFA<Vec<u32>>);

impl Automaton {
    pub fn compile(pattern: &str) -> Result<Self, Box<BuildError>> {
        let config = Config::new()
            .start_kind(StartKind::Unanchored)
            .dfa_size_limit(Some(BYTES_MAX))
            .determinize_size_limit(Some(BYTES_MAX));
        let mut builder = Builder::new();
        builder
            .configure(config)
            .syntax(syntax::Config::new().unicode(false).utf8(false))
            .thompson(thompson::Config::new().utf8(false));
        builder.build(pattern).map(Self).map_err(Box::new)
    }

    /// True if it matches anywhere.
    pub fn is_match(&self, text: &[u8]) -> bool {
        // An error would be a byte at which the search gives up, and no such byte is configured.
        self.0.try_search_fwd(&Input::new(text).earliest(true)).is_ok_and(|found| found.is_some())
    }
}
