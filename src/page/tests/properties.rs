//! Properties of the address of any url.

use proptest::prelude::*;
use url::Url;

use super::super::*;

fn rules(case: PageCase, only: &[&str]) -> PageRules {
    let mut rules = PageRules { case, ..PageRules::with_defaults("vi") };
    if !only.is_empty() {
        rules.params = PageParams::Only(only.iter().map(|text| text.parse().unwrap()).collect());
    }
    rules
}

fn any_rules() -> impl Strategy<Value = PageRules> {
    let case = prop_oneof![Just(PageCase::Auto), Just(PageCase::Keep), Just(PageCase::Fold)];
    let only = prop_oneof![4 => Just(&[][..]), 1 => Just(&["id", "t*"][..]), 1 => Just(&["*"][..])];
    (case, only).prop_map(|(case, only)| rules(case, only))
}

/// Segments that the rule knows, and rubbish.
fn any_path() -> impl Strategy<Value = String> {
    let segment = prop_oneof![
        3 => "[a-zA-Z0-9._~;()-]{0,9}",
        2 => "[\\PC%\\x00-\\x20]{0,9}",
        3 => prop::sample::select(vec![
            "index.php", "INDEX.HTML", "default.aspx", "Tin.ASPX", "viewtopic.php", "amp", "pop_up", "", ".", "..", "%20",
            "%E2%80%8B", "a%20", "(S(abc123))", "(A(b)S(c))", "(lit3py55t21z5v55vlm25s55)", "x;jsessionid=1!2", ";jsessionid=1",
            ".;jsessionid=1", "x%3Bjsessionid=1;v=2", "index%2Ephp", "%2F", "%2e%2e", "index.pdf", "b\u{e0}i", "ba\u{300}i", "%FF",
            "index.php%20", "İ.aspx", "amp;jsessionid=1",
        ]).prop_map(str::to_owned),
    ];
    prop::collection::vec(segment, 0..5).prop_map(|segments| format!("/{}", segments.join("/")))
}

fn any_param() -> impl Strategy<Value = String> {
    let name = prop_oneof![
        6 => prop::sample::select(vec![
            "id", "ID", "t", "s", "ref", "title", "option", "view", "task", "Itemid", "nv", "op", "page", "p", "q", "code",
            "language", "lang", "_101_INSTANCE_x_urlTitle", "_x_assetEntryId", "_x_classPK", "_x_cur", "dDocName", "utm_source",
            "sid", "amp", "v", "mst", "source", "share", "nb", "preview", "preview_id", "xsdata", "sdata", "contenttypeid", "a", "b",
        ]).prop_map(str::to_owned),
        1 => "[\\PC]{0,6}",
        1 => "[a-zA-Z0-9_/%.+-]{0,8}",
    ];
    let value = prop_oneof![
        5 => prop::sample::select(vec![
            "", "0", "1", "2", "7:bai", "0912345678:x", "1718600000", "0.5", "0912345678", "+84912345678", "001099012345", "a@b.vn",
            "com_content", "article", "print", "node/5", "/a/b", "vi", "vi-VN", "en", "zalo", "facebook", "ab12cd34ef56ab78cd90",
            "0f8fad5b-d9cb-469f-a165-70867728950e", "eyJhbGciOi.eyJzdWIi.dBjftJeZ", "%20", "a%20", "%FF", "b\u{e3}o l\u{169}", "https://b.vn/c",
            "a=b", "a%26b", "true",
        ]).prop_map(str::to_owned),
        1 => "[\\PC]{0,8}",
        1 => "[a-zA-Z0-9_/%.+:@-]{0,20}",
    ];
    prop_oneof![
        8 => (name, value).prop_map(|(name, value)| format!("{name}={value}")),
        1 => prop::sample::select(vec!["amp", "/archives/1.html", "%2Fa%2F1=", "1dmy", "/", "/A/B/", ""]).prop_map(str::to_owned),
    ]
}

fn any_query(params: &[String]) -> String {
    params.join("&").replace('#', "")
}

fn parse(path: &str, query: &str, fragment: &str) -> Option<Url> {
    let path = path.replace(['?', '#'], "");
    Url::parse(&format!("https://a.vn{path}?{query}{fragment}")).ok()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn an_address_is_bounded_visible_and_its_own_address(
        rules in any_rules(),
        path in any_path(),
        params in prop::collection::vec(any_param(), 0..12),
        fragment in prop_oneof![3 => Just(String::new()), 1 => any_path().prop_map(|path| format!("#{path}")), 1 => (any_path(), any_param()).prop_map(|(path, param)| format!("#!{path}?{param}"))],
    ) {
        let Some(url) = parse(&path, &any_query(&params), &fragment) else { return Ok(()) };
        let first = PageAddress::of(&url, &rules);
        prop_assert!(first.as_str().len() <= 512);
        prop_assert!(first.as_str().starts_with('/') && !first.as_str().starts_with("//"), "{first}");
        prop_assert!(!first.as_str().chars().any(|c| c.is_control() || c.is_whitespace()), "{first}");
        let again = PageAddress::from_import(first.as_str(), &rules);
        prop_assert_eq!(again, Some(first));
    }

    #[test]
    fn the_order_of_parameters_and_their_separator_say_nothing(
        path in any_path(),
        (params, mixed) in prop::collection::vec(any_param(), 0..12).prop_flat_map(|params| (Just(params.clone()), Just(params).prop_shuffle())),
    ) {
        let rules = rules(PageCase::Auto, &[]);
        let Some(one) = parse(&path, &any_query(&params), "") else { return Ok(()) };
        let address = PageAddress::of(&one, &rules);
        let two = parse(&path, &any_query(&mixed), "").unwrap();
        prop_assert_eq!(&address, &PageAddress::of(&two, &rules));
        let three = parse(&path, &any_query(&params).replace('&', "&amp;"), "").unwrap();
        prop_assert_eq!(&address, &PageAddress::of(&three, &rules));
    }

    #[test]
    fn noise_added_changes_nothing(
        path in any_path(),
        mut params in prop::collection::vec(any_param(), 0..12),
        at in any::<prop::sample::Index>(),
        noise in prop::sample::select(vec![
            "utm_source=zalo", "fbclid=IwAR0", "gclid=x", "_ga=2.3", "PHPSESSID=abc", "jsessionid=1", "checkss=1", "p_auth=a", "_afrLoop=9",
            "login_redirect=%2F", "returnurl=%2Fb", "replytocom=3", "highlight=a", "gsc.tab=0", "zarsrc=30", "amp=1", "amp", "nocache=1",
            "contact=a%40b.vn", "contact=0912345678", "empty=", "session=ab12cd34ef56ab78cd90", "rnd=1718600000", "lang=vi",
        ]),
    ) {
        let rules = rules(PageCase::Auto, &[]);
        let Some(before) = parse(&path, &any_query(&params), "") else { return Ok(()) };
        params.insert(at.index(params.len() + 1), noise.to_owned());
        let after = parse(&path, &any_query(&params), "").unwrap();
        prop_assert_eq!(PageAddress::of(&before, &rules), PageAddress::of(&after, &rules));
    }

    #[test]
    fn rubbish_makes_no_panic(text in "\\PC{0,80}", bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        let rules = rules(PageCase::Auto, &[]);
        for text in [text, String::from_utf8_lossy(&bytes).into_owned()] {
            let _ = PageAddress::from_import(&text, &rules);
            for start in ["/", "https://a.vn/", "https://a.vn/?", "https://a.vn/#/", "https://a.vn/a.aspx/;"] {
                let _ = PageAddress::from_import(&format!("{start}{text}"), &rules);
            }
        }
    }

    #[test]
    fn the_way_without_a_parser_says_the_same(
        rules in any_rules(),
        path in prop_oneof!["(/[a-zA-Z0-9._~!$&'()*+,;=:@-]{0,6}){1,4}", any_path()],
    ) {
        let text = format!("https://a.vn{path}");
        if let Some(address) = PageAddress::of_plain_path(&path, &rules) {
            let url = Url::parse(&text).unwrap();
            prop_assert_eq!(&address, &PageAddress::of(&url, &rules));
            prop_assert_eq!(Some(address), PageAddress::from_import(&path, &rules));
        }
    }
}

#[test]
fn ordinary_paths_need_no_parser() {
    let rules = rules(PageCase::Auto, &[]);
    let plain = |path: &str| PageAddress::of_plain_path(path, &rules).map(|address| address.to_string());
    for (path, address) in [
        ("/", "/"),
        ("/tin-tuc/bai-1.html", "/tin-tuc/bai-1.html"),
        ("/Tin-Tuc/Bai-1.htm", "/Tin-Tuc/Bai-1.htm"),
        ("/tin/", "/tin"),
        ("/tin/index.html", "/tin"),
        ("/index.php", "/"),
        ("/tin/amp/", "/tin"),
        ("/pages/tin.aspx", "/pages/tin.aspx"),
        ("/default.aspx", "/"),
        ("/a(b)/c=1,2", "/a(b)/c=1,2"),
    ] {
        assert_eq!(plain(path).as_deref(), Some(address), "{path}");
    }
    for path in ["//a", "/a//b", "/a;jsessionid=1", "/(S(a))/b", "/Pages/tin.aspx", "/index.php/a", "/Default.ASPX"] {
        assert_eq!(plain(path), None, "{path}");
    }
}
