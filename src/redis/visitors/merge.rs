//! One call of `merge.lua`.

use std::sync::LazyLock;

use redis::RedisResult;

use crate::counter::{Day, Site, Sketch, Window};
use crate::redis::client::link::Link;
use crate::redis::client::script::Scripted;
use crate::redis::keys::Keys;

static SCRIPT: LazyLock<Scripted> = LazyLock::new(|| Scripted::new(include_str!("merge.lua")));

/// Sketches and estimates to merge into a site's.
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
        // The reply is 0 for another time zone, of which publication of the counts complains.
        SCRIPT.run(link, &key_names, &arguments).await.map(drop)
    }
}
