//! One call of `merge.lua`.

use std::sync::LazyLock;

use redis::{Cmd, RedisResult, Script, ServerErrorKind};

use crate::counter::{Day, Site, Sketch, Window};
use crate::redis::connection::Link;
use crate::redis::layout::Keys;

static SCRIPT: LazyLock<Script> = LazyLock::new(|| Script::new(SCRIPT_TEXT));
const SCRIPT_TEXT: &str = include_str!("merge.lua");

/// What a site's sketches and estimates are raised by.
pub struct Merge {
    pub sketches: Vec<(Window, Sketch)>,
    pub estimates: Vec<(Day, u64)>,
}

impl Merge {
    pub async fn send(&self, link: &Link, keys: &Keys, site: &Site) -> RedisResult<()> {
        let mut key_names = vec![keys.meta(&site.id), keys.merging(&site.id), keys.estimates(&site.id)];
        let mut arguments = vec![site.time_zone.name().as_bytes().to_vec()];
        for (window, sketch) in &self.sketches {
            key_names.push(keys.sketch(site, *window));
            let day = window.minute.map_or_else(|| window.day.to_string(), |_| String::new());
            let expiry = window.expiry(site.time_zone).to_string();
            arguments.extend([sketch.to_redis(), expiry.into_bytes(), day.into_bytes()]);
        }
        for (day, estimate) in &self.estimates {
            arguments.extend([day.to_string().into_bytes(), estimate.to_string().into_bytes()]);
        }
        let command = |name: &str, script: &str| {
            let mut command = Cmd::new();
            command.arg(name).arg(script).arg(key_names.len()).arg(&key_names).arg(&arguments);
            command
        };
        // Of another time zone (0), publication of the counts has said so.
        match link.query(&command("EVALSHA", SCRIPT.get_hash())).await {
            Err(error) if error.kind() == ServerErrorKind::NoScript.into() => {
                link.query(&command("EVAL", SCRIPT_TEXT)).await.map(drop)
            }
            answer => answer.map(drop),
        }
    }
}
