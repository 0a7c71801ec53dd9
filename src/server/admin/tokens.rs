//! Editors' tokens: listed, made and revoked by the operator.

use chrono::{DateTime, SecondsFormat};
use hyper::body::Incoming;
use hyper::{Method, Request, Response};
use serde::{Deserialize, Serialize};

use super::json;
use crate::clock;
use crate::counter::editor_rules::change::Refused;
use crate::counter::tokens::change::{self, Change};
use crate::counter::tokens::grants::Granted;
use crate::counter::tokens::secret::{self, TokenKey};
use crate::counter::{EditorToken, Grant, Grants, Right, TokenName};
use crate::server::http::{AnswerBody, HeaderSink as _, HttpError, NO_STORE, body, form};
use crate::server::net::ConnState;
use crate::server::ports::Node;

/// Bytes of a request: as many patterns as a token may have.
const REQUEST_BYTES_MAX: usize = 32 << 10;

type Outcome = Result<Response<AnswerBody>, HttpError>;

/// A token as the listener shows it: without what opens anything.
#[derive(Debug, Serialize, Deserialize)]
pub struct ShownToken {
    pub name: String,
    pub right: Right,
    pub sites: Vec<String>,
    /// Time of its making; none where it stands in the configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_over: bool,
    /// A share link.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub share: bool,
}

/// A token that has just been made, with the secret, which nobody sees again.
#[derive(Debug, Serialize, Deserialize)]
pub struct MadeToken {
    #[serde(flatten)]
    pub shown: ShownToken,
    pub token: String,
}

impl ShownToken {
    pub fn of(name: &TokenName, grant: &Grant, given_ms: Option<i64>, now_s: i64) -> Self {
        let made = given_ms.and_then(DateTime::from_timestamp_millis);
        let expires = grant.expires.and_then(|expires| DateTime::from_timestamp(expires, 0));
        Self {
            name: name.to_string(),
            right: grant.right,
            sites: grant.sites.iter().map(ToString::to_string).collect(),
            made: made.map(|made| made.to_rfc3339_opts(SecondsFormat::Secs, true)),
            expires: expires.map(|expires| expires.to_rfc3339_opts(SecondsFormat::Secs, true)),
            is_over: grant.is_over(now_s),
            share: grant.is_share,
        }
    }

    /// All tokens that aren't revoked, by name.
    pub fn all(grants: &Grants, now_s: i64) -> Vec<Self> {
        let shown = |(name, Granted { grant, given_ms }): (&_, &_)| Self::of(name, grant, *given_ms, now_s);
        grants.iter().map(shown).collect()
    }
}

impl MadeToken {
    /// The answer to a change that has made `made` of this secret.
    pub fn of(made: &EditorToken, token: String, now_s: i64) -> Option<Self> {
        let grant = Grant::parse(made.grant.as_deref()?)?;
        Some(Self { shown: ShownToken::of(&made.name, &grant, Some(made.given_ms), now_s), token })
    }
}

/// A new secret, and the change that makes its token.
pub fn to_make(asked: &change::Request, now_s: i64) -> Result<(String, Change), Refused> {
    let token = secret::token_of(rand::random());
    let no_key = || Refused { field: "name", reason: "no key can be made of a random number".to_owned() };
    let hash = TokenKey::of(&token).ok_or_else(no_key)?.hash();
    let (name, grant) = asked.checked(hash, now_s)?;
    Ok((token, Change::Make { name, grant }))
}

/// The change that revokes a token.
pub fn to_revoke(name: &str) -> Result<Change, Refused> {
    let refused = |error: crate::counter::tokens::TokenNameError| Refused { field: "name", reason: error.to_string() };
    name.parse().map(Change::Revoke).map_err(refused)
}

pub async fn answer<N: Node>(node: &N, request: Request<Incoming>, conn: &ConnState) -> Outcome {
    let now_s = clock::now().timestamp();
    match *request.method() {
        Method::POST => {
            let text = body::collect(request.into_body(), REQUEST_BYTES_MAX, conn).await?;
            let asked = serde_json::from_slice(&text)
                .map_err(|error| HttpError::malformed(format!("the body is no token in JSON: {error}")))?;
            make(node, &asked).await.map(|made| secret_answer(&made))
        }
        Method::DELETE => {
            let query = request.uri().query().unwrap_or_default();
            let name = form::field(query, "name")?;
            let name = name.ok_or_else(|| HttpError::field("name", "the query has no `name`"))?;
            let revoked = revoke(node, &name).await?;
            Ok(json(&serde_json::json!({ "revoked": revoked.as_str() })))
        }
        _ => Ok(json(&ShownToken::all(&node.grants(), now_s))),
    }
}

/// Makes a token.
pub async fn make<N: Node>(node: &N, asked: &change::Request) -> Result<MadeToken, HttpError> {
    let now_s = clock::now().timestamp();
    let (token, change) = to_make(asked, now_s).map_err(refused)?;
    let made = node.change_token(change).await?.map_err(refused)?;
    let lost = || HttpError::unavailable("unavailable", "the token was revoked at once");
    MadeToken::of(&made, token, now_s).ok_or_else(lost)
}

/// Revokes a token.
pub async fn revoke<N: Node>(node: &N, name: &str) -> Result<TokenName, HttpError> {
    Ok(node.change_token(to_revoke(name).map_err(refused)?).await?.map_err(refused)?.name)
}

fn secret_answer(made: &MadeToken) -> Response<AnswerBody> {
    let mut answer = json(made);
    answer.headers_mut().fixed(&NO_STORE);
    answer
}

fn refused(Refused { field, reason }: Refused) -> HttpError {
    HttpError::field(field, reason)
}
