//! A hit before the ledger: its body is parsed, and the limits, the bot filter and dedup are applied.

use std::net::Ipv4Addr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use criterion::Criterion;
use hyper::HeaderMap;
use thongke::counter::site::FilteredBots;
use thongke::counter::{RegisteredSite, Site, SiteNumber};
use thongke::metrics::Metrics;
use thongke::server::hit::dedup::Dedup;
use thongke::server::hit::handler::HitHandler;
use thongke::server::hit::payload::Payload;
use thongke::server::hit::rate_limit::{Per, Rate, RateLimiter, RateLimits};
use thongke::server::hit::{Canonicals, Parameters, Warnings};
use thongke::server::{ClientIp, TrustedProxies};

use crate::blank_node::BlankNode;
use crate::drive::requests::ORIGIN;

const USER_AGENT: &str =
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/137.0.0.0 Safari/537.36";

pub fn bench(criterion: &mut Criterion) {
    let runtime = crate::ledger::runtime();
    let page = format!("{ORIGIN}/tin-tuc-su-kien/bai-viet-0000001");
    let body = format!(r#"{{"site":"portal","url":"{page}"}}"#);
    let form = format!("site=portal&url={}", page.replace(':', "%3A").replace('/', "%2F"));
    let mut headers = HeaderMap::new();
    headers.insert("user-agent", USER_AGENT.parse().expect("a field's value"));
    headers.insert("origin", ORIGIN.parse().expect("a field's value"));
    let metrics = Arc::new(Metrics::new());
    let dedup = Arc::new(Dedup::default());
    let no_limits = RateLimiter::new(&RateLimits::default());
    let warnings = Arc::new(Warnings::new(&metrics));
    let handler = |limiter, limits_new_pages| {
        let canonicals = Arc::new(Canonicals::new(Arc::clone(&warnings)));
        let parameters = Arc::new(Parameters::new(Arc::clone(&warnings)));
        let (metrics, dedup) = (Arc::clone(&metrics), Arc::clone(&dedup));
        HitHandler::new(metrics, Arc::new(limiter), dedup, canonicals, parameters, Arc::default(), limits_new_pages)
    };
    let unlimited = handler(no_limits, false);
    let most = Some(Rate { hits: NonZeroU32::MAX, per: Per::Second, burst: NonZeroU32::MAX });
    let limits = RateLimits { address: most, page: most, site: most, ..RateLimits::default() };
    let limited = handler(RateLimiter::new(&limits), true);
    let proxies = TrustedProxies::default();

    let mut group = criterion.benchmark_group("hit");
    group.bench_function("parse JSON", |bencher| bencher.iter(|| Payload::parse(body.as_bytes()).is_ok()));
    group.bench_function("parse a form", |bencher| bencher.iter(|| Payload::parse(form.as_bytes()).is_ok()));
    let window = Duration::from_secs(1_800);
    for (name, hits, filtered_bots, window) in [
        ("parse JSON and accept", &unlimited, FilteredBots::None, Duration::ZERO),
        ("parse JSON and accept within limits", &limited, FilteredBots::None, Duration::ZERO),
        ("parse JSON and accept, no bots", &unlimited, FilteredBots::All, Duration::ZERO),
        ("parse JSON and find a repeat", &unlimited, FilteredBots::None, window),
    ] {
        let node = node_with(filtered_bots, window);
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let Ok(payload) = Payload::parse(body.as_bytes()) else { panic!("a good body") };
                let client = ClientIp::new(&proxies, Some(Ipv4Addr::new(203, 0, 113, 7).into()), &headers);
                assert!(runtime.block_on(hits.handle(&node, &payload, &headers, &client, false)).is_ok());
            });
        });
    }
    group.finish();
}

/// A node at which a hit stops where this bench ends.
fn node_with(filtered_bots: FilteredBots, repeat_window: Duration) -> BlankNode {
    let origins = vec![ORIGIN.parse().expect("an origin")];
    let site = Site::with_defaults("portal".parse().expect("a site"), origins);
    let site = RegisteredSite::new(SiteNumber(1), Site { filtered_bots, repeat_window, ..site });
    BlankNode { sites: Arc::new([site].into_iter().collect()) }
}
