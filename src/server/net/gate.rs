//! Gate: how many of a connection's bytes hyper may read now, which is never more than the request that it expects.
//!
//! A request that hyper finds in its buffer behind another one passes by the connection's state: its head has no
//! deadline, and a malformed one gets hyper's own, empty answer. Behind the gate each request begins with a read.

/// Reading position within the requests of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gate {
    line: Line,
    body: Body,
}

/// Position in a line of a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    Start,
    /// After a carriage return at its start.
    Return,
    Inside,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Body {
    /// Bytes that are to come.
    Left(u64),
    /// In chunks, to the connection's end.
    Endless,
}

impl Gate {
    /// Before a connection's first request.
    pub const fn new() -> Self {
        Self { line: Line::Start, body: Body::Left(0) }
    }

    /// Lets the body of the request pass whose head has passed; none: a body in chunks.
    pub fn expect_body(&mut self, bytes: Option<u64>) {
        self.body = bytes.map_or(Body::Endless, Body::Left);
    }

    /// True if nothing is held back any more: only hyper knows where chunks end.
    pub fn is_open(&self) -> bool {
        self.body == Body::Endless
    }

    /// Number of these bytes that pass.
    pub fn pass(&mut self, bytes: &[u8]) -> usize {
        match &mut self.body {
            Body::Endless => bytes.len(),
            Body::Left(left) if *left > 0 => {
                let passes = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                *left -= passes as u64;
                passes
            }
            Body::Left(_) => self.pass_head(bytes),
        }
    }

    /// Up to an empty line: the head's end, or one of those that may stand before a request.
    fn pass_head(&mut self, bytes: &[u8]) -> usize {
        for (at, byte) in bytes.iter().enumerate() {
            self.line = match (self.line, byte) {
                (Line::Start | Line::Return, b'\n') => {
                    *self = Self::new();
                    return at + 1;
                }
                (Line::Start, b'\r') => Line::Return,
                (Line::Inside, b'\n') => Line::Start,
                _ => Line::Inside,
            };
        }
        bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &[u8] = b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\n";

    #[test]
    fn no_more_than_one_request_passes_at_a_time() {
        let all = [HEAD, b"abc", HEAD].concat();
        let mut gate = Gate::new();
        assert_eq!(gate.pass(&all), HEAD.len());
        gate.expect_body(Some(3));
        assert_eq!((gate.pass(b"a"), gate.pass(&all), gate.pass(&all)), (1, 2, HEAD.len()));
        assert!(!gate.is_open());
        gate.expect_body(None);
        assert_eq!(gate.pass(&all), all.len());
        assert!(gate.is_open());
    }

    #[test]
    fn a_heads_end_is_found_wherever_its_bytes_are_split() {
        for head in [HEAD, b"GET / HTTP/1.1\nHost: a\n\n", b"GET / HTTP/1.1\r\nHost: a\n\r\n"] {
            for split in 1..head.len() {
                let (before, after) = head.split_at(split);
                let mut gate = Gate::new();
                assert_eq!(gate.pass(before), split);
                assert_eq!(gate.pass(&[after, b"GET /"].concat()), after.len());
            }
        }
    }

    #[test]
    fn empty_lines_before_a_request_pass_one_by_one() {
        let mut gate = Gate::new();
        assert_eq!([gate.pass(b"\r\n\n\r"), gate.pass(b"\n\r"), gate.pass(b"\r"), gate.pass(b"\rGET")], [2, 1, 1, 4]);
    }
}
