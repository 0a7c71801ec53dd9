//! Recognition of a program's User-Agent that is in no list.

use regex_automata::dfa::dense::BuildError;

use super::automaton::Automaton;

/// Patterns of browsers, engines, systems and makers of devices. A User-Agent with none of them is a
/// program's. `Mozilla` is missing since every program claims it.
#[rustfmt::skip]
pub const NAMES: &[&str] = &[
    // Browsers and engines.
    "opera", "webkit", "gecko", "khtml", "safari", "chrome/", "firefox", "iceweasel", r"browser(?:[/ ]|$)", "msie",
    "explorer", "iexplore", "konqueror", "netfront", "obigo", r"up\.browser", "ucweb", "maui", "brew", "dillo",
    r"\be?links\b", r"\blynx\b", "w3m", "sleipnir", "quicktime", "mediaplayer", "nsplayer", "player/", "webview", "dorado",
    "icab", "omniweb", "mosaic", "teleca", "palmscape", "xiino", r"\bopr/", "vlc/", "netpositive", "avantgo", "planetweb", "antfresco", r"\bhola",
    // Systems.
    "android", "linux", "windows", r"\bwin(?:\d|nt)", "mac os", "macos", "macintosh", "iphone", "ipad", "ipod", "darwin",
    "cfnetwork", "symbian", "series[46]0", "s60", "midp", "cldc", "dalvik", r"\bx11", r"bsd(?:\b|\d)", "inferno", "osx/", "wtos", "amiga", "beos", r"os/2",
    "risc os", "tizen", "hbbtv", "smart-?tv", r"dtv\b", "appletv", "hybridcast", "google fiber", "amazon[; ]aft", "playstation", "nintendo", "dreamcast", "roku",
    r"mobile[/;) ]", r"phone\b", r"tablet\b", r"\bwap",
    // Makers and networks.
    "nokia", "samsung", "lge?[-/ ]", "blackberry", "sony", "htc", "huawei", "mot-", "motorola", "sec-", "sie-", "siemens",
    "docomo", "kddi", "softbank", "vodafone", "j-phone", "mediatek", "alcatel", "lenovo", "karbonn", "zte", "philips",
    "asus", "acer", "amoi", "^bird", "pantech", "archos", "audiovox", "sagem", r"\bsharp", "toshiba", "panasonic", "sanyo",
    "kyocera", "t-mobile", "dopod", "palm(?:os|-|source)", "treo", r"\bapple", "microsoft", "oppo", r"\bvivo", "xiaomi",
    "spreadtrum", "sprd", "haier", "hitachi", "benq", "gionee", "telit", "qtek", "kwc-", "vk-", "s[cg]h-", "mt6", "mtk",
    "tianyu", r"\bspice ", "fban/", "danger hiptop", "polycom", "ps vita", "wininet", "winhttp", "frontpage", "idsc/", "gogg", "alamofire",
];

/// Beginning of a browser's User-Agent. Old phones begin otherwise, but hold no `PROGRAM`.
const BROWSER: &str = r"(?i)^\W*(?:user-?agent:? ?)?(?:mozilla|opera)";

/// Words for a program's purpose or its language.
const PROGRAM: &str = r"(?i)crawl|download|extract|feed|grab|harvest|http|index|\blib|mirror|monitor|perl|python|ruby|scan|site|url|valid|check";

/// A contact: a host's name or a mailbox. Not within a longer name, since browsers' extras hold such.
const ADDRESS: &str = r"(?i)(?:^|[ (+,])(?:www\.[a-z]|[a-z0-9-]{3,}\.(?:com|org|net|io|de|fr|ru|co|info|eu)(?:[ ),]|$))|[\w.]@[a-z][\w-]*\.[a-z]";

/// The signs of a browser's User-Agent, and those of a program's.
#[derive(Debug)]
pub struct Browsers {
    names: Automaton,
    browser: Automaton,
    program: Automaton,
    address: Automaton,
}

impl Browsers {
    /// `names`: those of `NAMES` that the caller doesn't look for.
    pub fn compile(names: &[&str]) -> Result<Self, Box<BuildError>> {
        Ok(Self {
            names: Automaton::compile(&format!("(?i:{})", names.join("|")))?,
            browser: Automaton::compile(BROWSER)?,
            program: Automaton::compile(PROGRAM)?,
            address: Automaton::compile(ADDRESS)?,
        })
    }

    /// `has_name`: the caller has found one of `NAMES`.
    pub fn has_written(&self, text: &[u8], has_name: bool) -> bool {
        (has_name || self.names.is_match(text))
            && (self.browser.is_match(text) || !self.program.is_match(text))
            && !self.address.is_match(text)
    }
}
