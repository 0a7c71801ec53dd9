//! Hashes of last-writer-wins registers, which nodes compare with their files: writing and reading.

use std::sync::LazyLock;

use redis::{RedisResult, Value};

use super::client::{Link, Scripted, text};

/// Registers of a call, and fields of a step of reading.
pub const OF_CALL_MAX: usize = 200;
const SCAN_COUNT: usize = 500;

static SCRIPT: LazyLock<Scripted> = LazyLock::new(|| Scripted::new(include_str!("write.lua")));

/// A register as Redis keeps it.
pub struct Written<'a> {
    pub field: String,
    pub given_ms: i64,
    pub value: Option<&'a str>,
}

/// Writes registers, as far as they are later than those of the hash. `stamp`: a text that the hash then has, by which
/// others see that it has changed.
pub async fn write(link: &Link, key: &str, registers: &[Written<'_>], stamp: Option<String>) -> RedisResult<()> {
    let arguments = registers.iter().flat_map(|Written { field, given_ms, value }| {
        let has_value = if value.is_some() { "1" } else { "0" };
        [field.clone(), given_ms.to_string(), has_value.to_owned(), value.unwrap_or_default().to_owned()]
    });
    let arguments: Vec<_> = arguments.chain(stamp).collect();
    SCRIPT.run(link, &[key.to_owned()], &arguments).await
}

/// All fields and values of a hash; about `max` of them where somebody has written more.
pub async fn read(link: &Link, key: &str, max: usize) -> RedisResult<Vec<(String, String)>> {
    let mut found = Vec::new();
    if link.query::<usize>(redis::cmd("HLEN").arg(key)).await? == 0 {
        return Ok(found);
    }
    let mut cursor = "0".to_owned();
    loop {
        let mut command = redis::cmd("HSCAN");
        command.arg(key).arg(&cursor).arg("COUNT").arg(SCAN_COUNT);
        let (next, pairs): (String, Vec<(Value, Value)>) = link.query(&command).await?;
        found.extend(pairs.iter().filter_map(|(field, value)| Some((text(field)?, text(value)?))));
        if next == "0" || found.len() > max {
            return Ok(found);
        }
        cursor = next;
    }
}
