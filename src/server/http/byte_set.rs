//! Byte set: the bytes that a syntax allows, found by one look-up each.

/// ASCII letters and digits, and the others that it is made of.
pub struct ByteSet([bool; 256]);

impl ByteSet {
    pub const fn alphanumeric_and(others: &[u8]) -> Self {
        let (mut set, mut byte) = ([false; 256], 0);
        while byte < 256 {
            set[byte] = (byte as u8).is_ascii_alphanumeric();
            byte += 1;
        }
        let mut at = 0;
        while at < others.len() {
            set[others[at] as usize] = true;
            at += 1;
        }
        Self(set)
    }

    /// True if every byte of the text is in the set.
    pub fn holds(&self, text: &str) -> bool {
        text.bytes().all(|byte| self.0[usize::from(byte)])
    }
}
