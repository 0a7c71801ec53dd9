//! `thongke token`: tokens of editors, made, listed and revoked.

use anyhow::Context as _;
use hyper::Method;

use super::{IfEmpty, NodeRequest, from_json, on_its_ledger, print, whole};
use crate::clock;
use crate::command_line::{MakeToken, TokenCommand};
use crate::config::{Config, token_lines};
use crate::counter::tokens::change::{Change, Request};
use crate::counter::{EditorToken, Grants};
use crate::ledger::Ledger;
use crate::redis;
use crate::server::routes::Admin;
use crate::server::token_list::{MadeToken, ShownToken, to_make, to_revoke};

/// Does what the command line asks.
pub fn tokens(config: &Config, command: &TokenCommand) -> anyhow::Result<()> {
    match command {
        TokenCommand::Make(asked) if asked.print => print_lines(config, asked),
        TokenCommand::Make(asked) => make(config, asked),
        TokenCommand::List { json } => list(config, *json),
        TokenCommand::Revoke { name } => revoke(config, name),
    }
}

impl MakeToken {
    fn request(&self) -> Request {
        Request {
            name: self.name.clone(),
            right: self.right,
            sites: self.site.clone(),
            days: self.days,
            share: self.share,
        }
    }
}

fn make(config: &Config, asked: &MakeToken) -> anyhow::Result<()> {
    let asked_token = asked.request();
    let mut request = NodeRequest::of_node(Method::POST, Admin::Tokens);
    request.kind = "application/json";
    request.body = whole(serde_json::to_vec(&asked_token)?);
    let made: MadeToken = on_its_ledger(config, IfEmpty::Begin, request, from_json, async |ledger, _| {
        let now_s = clock::now().timestamp();
        let (token, change) = to_make(&asked_token, now_s)?;
        let made = changed(config, ledger, change).await?;
        MadeToken::of(&made, token, now_s).context("the token was revoked at once")
    })?;
    if asked.json {
        return print(&serde_json::to_string(&made)?);
    }
    let ShownToken { name, right, sites, expires, share, .. } = &made.shown;
    let until = expires.as_ref().map_or(String::new(), |expires| format!(", until {expires}"));
    warn_of_unknown_sites(config, sites);
    eprintln!("token {name}: {} {}{until}; it is shown this once", right.as_str(), sites.join(" "));
    print(&if *share { share_address(config, &made.token) } else { made.token })
}

/// Prints the lines of a configuration and changes nothing.
fn print_lines(config: &Config, asked: &MakeToken) -> anyhow::Result<()> {
    let (token, change) = to_make(&asked.request(), clock::now().timestamp())?;
    let Change::Make { name, grant } = change else { return Ok(()) };
    let name = name.context("name the token: its table in the configuration has its name")?;
    warn_of_unknown_sites(config, &asked.site);
    eprintln!("The token, shown this once:");
    eprintln!("{}", if grant.is_share { share_address(config, &token) } else { token });
    eprintln!("These lines are for the end of the configuration; a running node takes them at SIGHUP:");
    print(token_lines(&name, &grant).trim_end())
}

fn list(config: &Config, as_json: bool) -> anyhow::Result<()> {
    let request = NodeRequest::of_node(Method::GET, Admin::Tokens);
    let tokens: Vec<ShownToken> =
        on_its_ledger(config, IfEmpty::RefuseUnused, request, from_json, async |ledger, _| {
            exchange(config, ledger).await?;
            let grants = Grants::of(&ledger.tokens(), &config.tokens);
            Ok(ShownToken::all(&grants, clock::now().timestamp()))
        })?;
    if as_json {
        return print(&serde_json::to_string(&tokens)?);
    }
    let width = tokens.iter().map(|token| token.name.len()).max().unwrap_or(0).max("name".len());
    print(&format!("{:<width$}  {:<5}  {:<20}  {:<20}  sites", "name", "right", "made", "expires"))?;
    tokens.iter().try_for_each(|token| {
        let made = token.made.as_deref().unwrap_or("in the configuration");
        let expires = match (&token.expires, token.is_over) {
            (Some(_), true) => "over",
            (Some(expires), false) => expires,
            (None, _) => "-",
        };
        let share = if token.share { "  (share link)" } else { "" };
        let (name, right) = (&token.name, token.right.as_str());
        print(&format!("{name:<width$}  {right:<5}  {made:<20}  {expires:<20}  {}{share}", token.sites.join(" ")))
    })
}

fn revoke(config: &Config, name: &str) -> anyhow::Result<()> {
    let change = to_revoke(name)?;
    let mut request = NodeRequest::of_node(Method::DELETE, Admin::Tokens);
    let mut query = form_urlencoded::Serializer::new(String::new());
    request.path += &format!("?{}", query.append_pair("name", name).finish());
    on_its_ledger(
        config,
        IfEmpty::RefuseUnused,
        request,
        |_| Ok(()),
        async |ledger, _| changed(config, ledger, change).await.map(drop),
    )?;
    print(&format!("token {name} is revoked; it opens nothing any more, and sessions by it are over"))
}

/// Changes the tokens in the file of a stopped node, and in Redis.
async fn changed(config: &Config, ledger: &Ledger, change: Change) -> anyhow::Result<EditorToken> {
    exchange(config, ledger).await?;
    let (configured, now_ms) = (config.tokens.clone().into(), clock::now().timestamp_millis());
    let token = ledger.change_token(change, configured, now_ms).await??;
    exchange(config, ledger).await?;
    Ok(token)
}

/// Compares the file's tokens with Redis's, both ways. While Redis is away, the node does it at its next start.
async fn exchange(config: &Config, ledger: &Ledger) -> anyhow::Result<()> {
    let Some(target) = config.redis_target()? else { return Ok(()) };
    match redis::exchange_tokens_of_stopped(&target, &config.redis_prefix, &ledger.tokens()).await {
        Ok(learned) => drop(ledger.learn_tokens(learned).await?),
        Err(reason) => eprintln!("thongke: Redis: {reason}; other nodes learn of it when this node runs again"),
    }
    Ok(())
}

fn share_address(config: &Config, token: &str) -> String {
    format!("https://HOST{}/manage/share/{token}", config.path_prefix)
}

/// A token may come before its site; a misspelt one opens nothing.
fn warn_of_unknown_sites(config: &Config, sites: &[String]) {
    for text in sites {
        let Ok(pattern) = text.parse::<crate::counter::SitePattern>() else { continue };
        if !config.sites.iter().any(|site| pattern.is_match_of(site)) {
            eprintln!("thongke: no site of this configuration is `{text}`");
        }
    }
}
