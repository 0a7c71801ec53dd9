//! The shipped script on a real redis-server against a small model. Repeats, reordering, losses, deletions,
//! rollbacks and flushes leave the totals right once each source has sent its last state.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use thongke::counter::{Contribution, Digest, PageAddress, Period, Register, Site, Source, Weight};
use thongke::redis::client::connection::Connections;
use thongke::redis::client::link::Link;
use thongke::redis::keys::{self, Keys};
use thongke::redis::merge_counts::MergeCounts;

use crate::redis::Redis;

/// A counter: the site's, or a page's.
type Place = (Period, Option<&'static str>);

const PLACES: [Place; 4] =
    [(Period::Total, None), (Period::Year(2024), None), (Period::Total, Some("/a")), (Period::Total, Some("/b"))];

const KEYS: [&str; 2] = ["thongke:{a}:hits", "thongke:{a}:pages:total"];

#[derive(Debug, Clone)]
enum Event {
    /// A source sends its count; with `false` the call is lost on the way.
    Run {
        run: u64,
        place: usize,
        hits: i64,
        arrives: bool,
    },
    Import {
        place: usize,
        generation: u64,
        hits: i64,
        arrives: bool,
    },
    /// An earlier call arrives, again or late.
    Again(prop::sample::Index),
    Delete(usize),
    FlushAll,
    Snapshot,
    RollBack,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        6 => (1_u64..4, 0..PLACES.len(), 0_i64..1 << 48, any::<bool>())
            .prop_map(|(run, place, hits, arrives)| Event::Run { run, place, hits, arrives }),
        3 => (0..PLACES.len(), 1_u64..1 << 52, -20_i64..1 << 48, any::<bool>())
            .prop_map(|(place, generation, hits, arrives)| Event::Import { place, generation, hits, arrives }),
        4 => any::<prop::sample::Index>().prop_map(Event::Again),
        1 => (0..KEYS.len()).prop_map(Event::Delete),
        1 => Just(Event::FlushAll),
        1 => Just(Event::Snapshot),
        1 => Just(Event::RollBack),
    ];
    prop::collection::vec(event, 1..40)
}

fn contribution(source: &Source, (period, page): Place, register: Register) -> Contribution {
    Contribution { source: source.clone(), period, page: page.map(PageAddress::from_stored), register }
}

struct Bench {
    link: Link,
    keys: Keys,
    site: Site,
}

impl Bench {
    async fn merge(&self, row: Contribution) {
        MergeCounts { rows: vec![row] }.send(&self.link, &self.keys, &self.site).await.unwrap();
    }

    async fn ask(&self, words: &[&str]) -> redis::Value {
        let mut command = redis::Cmd::new();
        command.arg(words);
        self.link.query(&command).await.unwrap()
    }

    async fn dump(&self) -> Vec<Option<Vec<u8>>> {
        let mut dumps = Vec::new();
        for key in KEYS {
            dumps.push(redis::from_redis_value(self.ask(&["DUMP", key]).await).unwrap());
        }
        dumps
    }

    async fn restore(&self, dumps: &[Option<Vec<u8>>]) {
        for (key, dump) in KEYS.iter().zip(dumps) {
            self.ask(&["DEL", key]).await;
            if let Some(dump) = dump {
                let mut command = redis::Cmd::new();
                command.arg("RESTORE").arg(key).arg(0).arg(dump.as_slice());
                self.link.query::<()>(&command).await.unwrap();
            }
        }
    }

    async fn total(&self, (period, page): Place) -> i64 {
        let value = match page {
            None => self.ask(&["HGET", KEYS[0], &period.to_string()]).await,
            Some(page) => self.ask(&["ZSCORE", KEYS[1], page]).await,
        };
        redis::from_redis_value::<Option<f64>>(value).unwrap().unwrap_or(0.0) as i64
    }

    /// Digest in Redis of a source's contributions in one key.
    async fn digest(&self, pages_of: Option<Period>, source: &Source) -> Digest {
        let name = keys::digest_name(pages_of, source);
        let value = match pages_of {
            None => self.ask(&["HGET", KEYS[0], &name]).await,
            Some(_) => self.ask(&["ZSCORE", KEYS[1], &name]).await,
        };
        let text: Option<String> = redis::from_redis_value(value).unwrap();
        text.map_or_else(Digest::default, |text| keys::digest(pages_of, &text).unwrap())
    }

    /// Digest of the contributions that Redis holds, recounted.
    async fn recounted(&self, pages_of: Option<Period>, source: &Source) -> Digest {
        let mut digest = Digest::default();
        for (period, page) in PLACES.into_iter().filter(|(_, page)| page.is_some() == pages_of.is_some()) {
            let page = page.map(PageAddress::from_stored);
            let register = match &page {
                None => {
                    let field = keys::contribution_field(period, source);
                    let value = self.ask(&["HGET", KEYS[0], &field]).await;
                    let text: Option<String> = redis::from_redis_value(value).unwrap();
                    text.map(|text| keys::register(source, &text).unwrap())
                }
                Some(page) => {
                    let member = keys::contribution_member(source, page);
                    let hits: Option<f64> =
                        redis::from_redis_value(self.ask(&["ZSCORE", KEYS[1], &member]).await).unwrap();
                    let member = keys::generation_member(source, page);
                    let generation: Option<f64> =
                        redis::from_redis_value(self.ask(&["ZSCORE", KEYS[1], &member]).await).unwrap();
                    hits.map(|hits| match generation {
                        None => Register::Grown(-hits as i64),
                        Some(generation) => Register::Written { generation: -generation as u64, hits: -hits as i64 },
                    })
                }
            };
            if let Some(register) = register {
                digest.add(Weight::of(period, page.as_ref()), register);
            }
        }
        digest
    }

    async fn play(&self, events: &[Event]) {
        self.ask(&["FLUSHALL"]).await;
        let mut said: Vec<(Source, usize, Register)> = Vec::new();
        let mut snapshot = self.dump().await;
        for event in events {
            let (statement, arrives) = match event {
                Event::Run { run, place, hits, arrives } => {
                    (Some((Source::Run(*run), *place, Register::Grown(*hits))), *arrives)
                }
                Event::Import { place, generation, hits, arrives } => {
                    let register = Register::Written { generation: *generation, hits: *hits };
                    (Some(("import:old".parse().unwrap(), *place, register)), *arrives)
                }
                Event::Again(_) if said.is_empty() => (None, false),
                Event::Again(index) => (Some(index.get(&said).clone()), true),
                Event::Delete(key) => {
                    self.ask(&["DEL", KEYS[*key]]).await;
                    (None, false)
                }
                Event::FlushAll => {
                    self.ask(&["FLUSHALL"]).await;
                    (None, false)
                }
                Event::Snapshot => {
                    snapshot = self.dump().await;
                    (None, false)
                }
                Event::RollBack => {
                    self.restore(&snapshot).await;
                    (None, false)
                }
            };
            if let Some((source, place, register)) = statement {
                said.push((source.clone(), place, register));
                if arrives {
                    self.merge(contribution(&source, PLACES[place], register)).await;
                    for pages_of in [None, Some(Period::Total)] {
                        let digests = (self.digest(pages_of, &source).await, self.recounted(pages_of, &source).await);
                        assert_eq!(digests.0, digests.1, "{pages_of:?} of {source} after {events:?}");
                    }
                }
            }
        }
        // The model: each source's last count of each counter.
        let mut last: BTreeMap<(usize, Source), Register> = BTreeMap::new();
        for (source, place, register) in said {
            last.entry((place, source)).and_modify(|known| *known = known.merge(register)).or_insert(register);
        }
        for ((place, source), register) in &last {
            self.merge(contribution(source, PLACES[*place], *register)).await;
        }
        for (at, place) in PLACES.into_iter().enumerate() {
            let expected: i64 = last.iter().filter(|((p, _), _)| *p == at).map(|(_, register)| register.hits()).sum();
            assert_eq!(self.total(place).await, expected, "{place:?} after {events:?}");
        }
    }
}

#[test]
fn whatever_happens_totals_are_right_once_the_last_publications_arrive() {
    let redis = Redis::start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let connections = Arc::new(Connections::new(thongke::redis::parse(&[redis.url()], None).unwrap()));
    let bench = runtime.block_on(async {
        let supervised = Arc::clone(&connections);
        tokio::spawn(async move { supervised.supervise().await });
        let mut connected = connections.watch();
        connected.wait_for(|number| *number != 0).await.unwrap();
        let link = connections.get().unwrap().link;
        let origins = vec!["https://a.vn".parse().unwrap()];
        Bench { link, keys: Keys::new("thongke"), site: Site::with_defaults("a".parse().unwrap(), origins) }
    });
    let mut runner = TestRunner::new(Config { cases: 200, failure_persistence: None, ..Config::default() });
    runner
        .run(&events(), |events| {
            runtime.block_on(bench.play(&events));
            Ok(())
        })
        .unwrap();
}
