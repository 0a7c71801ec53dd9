//! `thongke doctor`: says whether a portal's page counts, and what to do where it doesn't. It sends no hit.

mod fetch;

use anyhow::{Context as _, bail};
use hyper::Method;
use hyper::header::{CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, REFERRER_POLICY};
use url::Url;

use super::print;
use crate::config::Config;
use crate::counter::SiteId;
use crate::doctor::{
    self, Answer, Finding, Head, Page, PageUrl, Tag, Weight, canonical_finding, hit_path_finding, origin_finding,
    site_finding,
};
use fetch::{BODY_BYTES_MAX, Client, Fetched, Question};

/// Tags of a page that are examined.
const TAGS_MAX: usize = 5;

/// The findings so far, printed as they come.
#[derive(Default)]
struct Report {
    wrong: usize,
}

impl Report {
    fn add(&mut self, finding: Finding) -> anyhow::Result<()> {
        self.wrong += usize::from(finding.weight == Weight::Wrong);
        print(&finding.to_string())
    }

    fn add_all(&mut self, findings: impl IntoIterator<Item = Finding>) -> anyhow::Result<()> {
        findings.into_iter().try_for_each(|finding| self.add(finding))
    }
}

/// Examines a page; fails if something keeps its views from being counted.
pub fn doctor(config: &Config, PageUrl(url): &PageUrl) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut report = Report::default();
    runtime.block_on(examine(config, url, &mut report))?;
    match report.wrong {
        0 => Ok(()),
        1 => bail!("one thing keeps views of this page from being counted"),
        wrong => bail!("{wrong} things keep views of this page from being counted"),
    }
}

async fn examine(config: &Config, url: &Url, report: &mut Report) -> anyhow::Result<()> {
    let client = Client::new()?;
    let fetched = client.ask(url, &Question::GET).await;
    let fetched = fetched.map_err(anyhow::Error::msg).with_context(|| format!("the page {url} can't be fetched"))?;
    if fetched.url != *url {
        report.add(Finding::fine(format!("the page leads to {}", fetched.url)))?;
    }
    if let Some(encoding) = fetched.unknown_encoding() {
        bail!("the page {} comes in the encoding `{}`, which wasn't asked for", fetched.url, encoding.escape_debug());
    }
    let (page, head) = (Page::read(&fetched.body, &fetched.url), head_of(&fetched));
    if !doctor::has_tag(&page) && is_only_in_plain(&client, &fetched).await {
        return report.add(Finding::wrong(
            "the tag is missing where the portal compresses its answer: nginx's `sub_filter` reads plain answers alone; put \
             `proxy_set_header Accept-Encoding \"\";` beside it",
        ));
    }
    if fetched.is_cut {
        report.add(Finding::warning(format!("only the page's first {} MiB were read", BODY_BYTES_MAX >> 20)))?;
    }
    report.add_all(doctor::findings_of_page(&page, &head))?;
    let running: Vec<_> = page.tags.iter().filter(|tag| tag.inside.is_none()).take(TAGS_MAX).collect();
    let mut seen: Vec<&Tag> = Vec::new();
    for tag in running {
        // Of several tags of one site one counts.
        if !seen.iter().any(|known| (&known.src, &known.site) == (&tag.src, &tag.site)) {
            seen.push(tag);
            examine_tag(config, &client, &page, &head, tag, report).await?;
        }
    }
    for pixel in page.pixels.iter().take(TAGS_MAX) {
        report.add_all(doctor::findings_of_pixel(&page, &head, pixel))?;
    }
    if seen.is_empty()
        && let Some((service, site)) = pixel_of(&page)
    {
        report.add(Finding::fine("the page has the pixel, without a script"))?;
        examine_service(config, &client, &page, &service, site.as_deref(), report).await?;
    }
    Ok(())
}

fn head_of(fetched: &Fetched) -> Head {
    let text = |name: &HeaderName| fetched.value(name).map(str::to_owned);
    Head {
        status: fetched.status,
        content_type: text(&CONTENT_TYPE).unwrap_or_default(),
        referrer: text(&REFERRER_POLICY),
        policies: fetched.values(&CONTENT_SECURITY_POLICY).map(str::to_owned).collect(),
    }
}

/// True if a page that came compressed has the tag where it comes plain.
async fn is_only_in_plain(client: &Client, fetched: &Fetched) -> bool {
    if fetched.value(&CONTENT_ENCODING).is_none() {
        return false;
    }
    let plain = client.ask(&fetched.url, &Question { takes_gzip: false, ..Question::GET }).await;
    plain.is_ok_and(|plain| doctor::has_tag(&Page::read(&plain.body, &plain.url)))
}

async fn examine_tag(
    config: &Config,
    client: &Client,
    page: &Page,
    head: &Head,
    tag: &Tag,
    report: &mut Report,
) -> anyhow::Result<()> {
    let src = tag.src.as_deref().unwrap_or_default();
    let script = page.resolve(src).filter(|url| matches!(url.scheme(), "http" | "https"));
    let Some(script) = script else {
        return report
            .add(Finding::wrong(format!("the tag's `src` = `{src}` is no address; write `https://HOST/thongke.js`")));
    };
    // As the script does.
    let hit = script.join("v1/hit")?;
    let answer = match client.ask(&script, &Question::GET).await {
        Ok(fetched) => fetched.into_answer(),
        Err(_) if !tag.is_named => return Ok(()),
        Err(problem) => {
            report.add_all(doctor::findings_of_tag(page, head, tag, &script, &hit))?;
            return report.add(Finding::wrong(format!("the script {script} can't be fetched: {problem}")));
        }
    };
    let Some(found) = doctor::script_finding(tag, &script, &answer) else { return Ok(()) };
    report.add_all(doctor::findings_of_tag(page, head, tag, &script, &hit))?;
    report.add(found)?;
    if !doctor::is_ours(&answer) {
        return look_nearby(config, client, &script, report).await;
    }
    examine_service(config, client, page, &script, tag.site.as_deref(), report).await
}

/// Looks for the script at other addresses of its host.
async fn look_nearby(config: &Config, client: &Client, script: &Url, report: &mut Report) -> anyhow::Result<()> {
    for url in doctor::prefixes_to_try(script, &config.path_prefix) {
        let fetched = client.ask(&url, &Question::GET).await;
        if fetched.is_ok_and(|fetched| doctor::is_ours(&fetched.into_answer())) {
            return report.add(Finding::warning(format!("thongke's script is at {url}; write `src=\"{url}\"`")));
        }
    }
    Ok(())
}

/// Asks the counter beside which the script or pixel lies; nothing that is asked counts.
async fn examine_service(
    config: &Config,
    client: &Client,
    page: &Page,
    service: &Url,
    site: Option<&str>,
    report: &mut Report,
) -> anyhow::Result<()> {
    let ask = async |url: &Url, question: &Question<'_>| match client.ask(url, question).await {
        Ok(fetched) => Ok(fetched.into_answer()),
        Err(problem) => Err(Finding::wrong(format!("the counter doesn't answer at {url}: {problem}"))),
    };
    let origin = page.url.origin().ascii_serialization();
    let options = Question { method: Method::OPTIONS, origin: Some(&origin), follows: false, ..Question::GET };
    let hit = service.join("v1/hit")?;
    report.add(ask(&hit, &options).await.map_or_else(|missing| missing, |answer| hit_path_finding(&hit, &answer)))?;
    let Some(sent) = site.filter(|site| !site.is_empty()) else { return Ok(()) };
    let of_site = |read: &str| -> anyhow::Result<Url> {
        let mut url = service.join("v1/sites")?;
        // A base of http has segments.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.push(sent).extend(read.split('/'));
        }
        Ok(url)
    };
    let figures = ask(&of_site("figures")?, &Question::GET).await;
    let figures = figures.map_or_else(|missing| missing, |answer| site_finding(sent, &answer));
    let has_site = figures.weight == Weight::Fine;
    report.add(figures)?;
    let Ok(id) = sent.parse::<SiteId>() else { return Ok(()) };
    if !has_site {
        return Ok(());
    }
    let reads_of_pages = of_site("pages/figures")?;
    let known = config.site(&id).filter(|_| !config.is_demo);
    let views = async |url: &Url| -> Result<Answer, Finding> {
        let mut asked = reads_of_pages.clone();
        asked.query_pairs_mut().append_pair("url", url.as_str()).append_pair("figures", "total");
        ask(&asked, &Question::GET).await
    };
    let of_page = views(&plain(&page.url)).await;
    report.add(of_page.map_or_else(|missing| missing, |answer| origin_finding(&id, &page.url, &answer, known)))?;
    let canonical = page.canonical.as_deref().and_then(|href| page.resolve(href.trim()));
    if let Some(canonical) = canonical.filter(|canonical| *canonical != page.url)
        && let Ok(answer) = views(&plain(&canonical)).await
    {
        report.add_all(canonical_finding(&page.url, &canonical, &answer))?;
    }
    Ok(())
}

/// An address of the same origin and path, without what may be private.
fn plain(url: &Url) -> Url {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    url
}

/// The folder of the first pixel's counter, and the site's id.
fn pixel_of(page: &Page) -> Option<(Url, Option<String>)> {
    let url = page.resolve(&page.pixels.first()?.src)?;
    let site = url.query_pairs().find(|(name, _)| name == "site").map(|(_, site)| site.into_owned());
    Some((url.join("../").ok()?, site))
}
