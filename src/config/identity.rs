//! The certificate by which a node shows a Redis who it is.

use std::path::Path;

use super::reader::{Reader, Text};
use crate::redis::Identity;

pub const CERTIFICATE: &str = "redis_tls_certificate_file";
pub const KEY: &str = "redis_tls_key_file";

/// Reads both files; one without the other is a mistake.
pub fn read(reader: &mut Reader<'_, '_, '_>, folder: &Path) -> Option<Identity> {
    let (certificate, key) = (file(reader, CERTIFICATE, folder), file(reader, KEY, folder));
    match (certificate, key) {
        (Some((_, certificate)), Some((_, key))) => {
            Some(Identity { certificate: certificate.into_bytes(), key: key.into_bytes() })
        }
        (Some((span, _)), None) => {
            reader.findings().wrong(&span, format!("{CERTIFICATE} says nothing without {KEY}; name both"));
            None
        }
        (None, Some((span, _))) => {
            reader.findings().wrong(&span, format!("{KEY} says nothing without {CERTIFICATE}; name both"));
            None
        }
        (None, None) => None,
    }
}

fn file(reader: &mut Reader<'_, '_, '_>, name: &str, folder: &Path) -> Option<(std::ops::Range<usize>, String)> {
    let Text { text, span } = reader.string(name, r#""/etc/thongke/redis.pem""#)?;
    let path = folder.join(text);
    match std::fs::read_to_string(&path) {
        Ok(pem) if pem.contains("-----BEGIN ") => return Some((span, pem)),
        Ok(_) => reader.findings().wrong(&span, format!("{name}: {} holds nothing in PEM format", path.display())),
        Err(error) => reader.findings().wrong(&span, format!("{name}: can't read {}: {error}", path.display())),
    }
    None
}
