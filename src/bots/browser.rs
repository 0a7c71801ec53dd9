//! Recognition of a program's User-Agent that is in no list.

use regex::bytes::Regex;

/// Patterns of browsers, engines, systems and makers of devices. A User-Agent with none of them is a
/// program's. `Mozilla` is missing since every program claims it.
#[rustfmt::skip]
const NAMES: &[&str] = &[
    // Browsers and engines.
    "opera", "webkit", "gecko", "khtml", "safari", "chrome/", "firefox", "iceweasel", r"browser(?:[/ ]|$)", "msie",
    "explorer", "iexplore", "konqueror", "netfront", "obigo", r"up\.browser", "ucweb", "maui", "brew", "dillo",
    r"\be?links\b", r"\blynx\b", "w3m", "sleipnir", "quicktime", "mediaplayer", "nsplayer", "player/", "webview", "dorado",
    "icab", "omniweb", "netpositive", "avantgo", "planetweb", "antfresco", r"\bhola",
    // Systems.
    "android", "linux", "windows", r"\bwin(?:\d|nt)", "mac os", "macos", "macintosh", "iphone", "ipad", "ipod", "darwin",
    "cfnetwork", "symbian", "series[46]0", "s60", "midp", "cldc", "dalvik", r"\bx11", r"bsd\b", "amiga", "beos", r"os/2",
    "risc os", "tizen", "hbbtv", "smart-?tv", r"dtv\b", "appletv", "playstation", "nintendo", "dreamcast", "roku",
    r"mobile[/;) ]", r"phone\b", r"tablet\b", r"\bwap",
    // Makers and networks.
    "nokia", "samsung", "lge?[-/ ]", "blackberry", "sony", "htc", "huawei", "mot-", "motorola", "sec-", "sie-", "siemens",
    "docomo", "kddi", "softbank", "vodafone", "j-phone", "mediatek", "alcatel", "lenovo", "karbonn", "zte", "philips",
    "asus", "acer", "amoi", "^bird", "pantech", "archos", "audiovox", "sagem", r"\bsharp", "toshiba", "panasonic", "sanyo",
    "kyocera", "t-mobile", "dopod", "palm(?:os|-|source)", "treo", r"\bapple", "microsoft", "oppo", r"\bvivo", "xiaomi",
    "spreadtrum", "sprd", "haier", "hitachi", "benq", "gionee", "telit", "qtek", "kwc-", "vk-", "s[cg]h-", "mt6", "mtk",
    "danger hiptop", "polycom", "ps vita", "wininet", "winhttp", "frontpage", "idsc/", "gogg", "alamofire",
];

/// Beginning of a browser's User-Agent. Old phones begin otherwise, but hold no `PROGRAM`.
const BROWSER: &str = r"(?i)^\W*(?:user-?agent:? ?)?(?:mozilla|opera)";

/// Words for a program's purpose or its language.
const PROGRAM: &str = r"(?i)crawl|download|extract|feed|grab|harvest|http|index|\blib|mirror|monitor|perl|python|ruby|scan|site|url|valid|check";

/// A contact: a host's name or a mailbox. Not within a longer name, since browsers' extras hold such.
const ADDRESS: &str = r"(?i)(?:^|[ (+,])(?:www\.[a-z]|[a-z0-9-]{3,}\.(?:com|org|net|io|de|fr|ru|co|info|eu)(?:[ ),]|$))|[\w.]@[a-z][\w-]*\.[a-z]";

#[derive(Debug)]
pub struct Bearing {
    names: Regex,
    browser: Regex,
    program: Regex,
    address: Regex,
}

impl Bearing {
    pub fn compile() -> Result<Self, regex::Error> {
        Ok(Self {
            names: Regex::new(&format!("(?i:{})", NAMES.join("|")))?,
            browser: Regex::new(BROWSER)?,
            program: Regex::new(PROGRAM)?,
            address: Regex::new(ADDRESS)?,
        })
    }

    pub fn is_a_browsers(&self, text: &[u8]) -> bool {
        self.names.is_match(text)
            && (self.browser.is_match(text) || !self.program.is_match(text))
            && !self.address.is_match(text)
    }
}
