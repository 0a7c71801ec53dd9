//! Fast path: reads and writes the hot endpoints' requests without hyper; anything unusual falls back.
//!
//! Hits, the pixel, the figures and the script are nearly all of a counter's traffic, and nearly all
//! of these requests arrive whole, in one segment, and can be read in one way only. Any other request
//! goes to hyper with every byte that was read, so that only hyper decides what is malformed.

pub mod parse;
pub mod write;
