//! A page's address out of a url: as nearly all are written, and with what readers' apps add.

use std::hint::black_box;

use criterion::{Criterion, Throughput};
use thongke::counter::{PageAddress, RegisteredSite, Site, SiteNumber};
use thongke::server::hit::page_url::page_of;

/// Hits that share a measurement: each third carries a click id of its own, which no cache knows.
const HITS: usize = 300;

pub fn bench(criterion: &mut Criterion) {
    let origins = vec!["https://a.gov.vn".parse().expect("an origin")];
    let site = Site::with_defaults("demo".parse().expect("a site id"), origins);
    let site = RegisteredSite::new(SiteNumber(1), site);
    let mut group = criterion.benchmark_group("page");
    for (name, path) in [
        ("plain", "/tin-tuc/thoi-su/hop-bao-cong-bo-quyet-dinh-123.html"),
        ("click id", "/tin-tuc/bai-1.html?fbclid=IwAR2abcDEF0123456789abcdefghijklmnopqrstuvwxyz"),
        ("two parameters", "/?pageid=27160&docid=214590"),
        ("NukeViet", "/index.php?language=vi&nv=news&op=Tin-tuc/bai-7"),
        ("Joomla", "/index.php?option=com_content&view=article&id=27804:phng&catid=4069:tin&Itemid=9677"),
        ("Liferay", "/t?p_p_id=101_INSTANCE_x&p_p_lifecycle=0&p_p_state=normal&_101_INSTANCE_x_assetEntryId=17"),
        ("search", "/tim?keyword=Tr%E1%BA%BB+em&loai=2"),
    ] {
        let url = format!("https://a.gov.vn{path}");
        group.bench_function(name, |bencher| bencher.iter(|| page_of(&site, black_box(&url)).is_ok()));
    }
    let worst = format!("https://a.gov.vn/?{}", "s=1&t=2&ref=3&".repeat(160));
    group.bench_function("2 kB of companions", |bencher| bencher.iter(|| page_of(&site, black_box(&worst)).is_ok()));

    let urls: Vec<String> = (0..HITS).map(url_of_hit).collect();
    let pages =
        |urls: &[String]| -> Vec<PageAddress> { urls.iter().filter_map(|url| page_of(&site, url).ok()).collect() };
    assert_eq!(pages(&urls).len(), HITS);
    group.throughput(Throughput::Elements(HITS as u64));
    group.bench_function("every third hit with a unique fbclid", |bencher| bencher.iter(|| pages(black_box(&urls))));
    group.finish();
}

/// The url of a hit on one of ten pages.
fn url_of_hit(hit: usize) -> String {
    let page = format!("https://a.gov.vn/tin-tuc/bai-{}.html", hit % 10);
    if hit.is_multiple_of(3) { format!("{page}?fbclid=IwAR2abcDEF0123456789abcdefghijklmnopqr{hit:08}") } else { page }
}
