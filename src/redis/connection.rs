//! The connection to Redis, of whatever kind, and its replacement when it fails.
//!
//! The library's own connections outlive their failures: one that timed out, or that leads to a
//! server which is no longer the primary, is used again. Here the first sign of either drops it,
//! and a new one is made from the address (for Sentinel: the primary is asked for again).

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use redis::aio::{ConnectionLike as _, MultiplexedConnection};
use redis::cluster::ClusterClientBuilder;
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::{MultipleNodeRoutingInfo, RoutingInfo};
use redis::io::tcp::TcpSettings;
use redis::sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType};
use redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, Cmd, ConnectionAddr, ErrorKind, IntoConnectionInfo as _,
    RedisConnectionInfo, RedisError, RedisResult, ServerErrorKind, TlsCertificates, TlsMode, Value,
};
use tokio::sync::watch;

use super::target::{Address, Credentials, Target, TargetKind};

/// How long one command may take. It may still run later: `raise` doesn't mind.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(2);
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(2);
/// How long making a connection may take in all, names, sentinels and handshakes included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(6);
const BACKOFF_MIN: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(2);
/// How often Sentinel is asked whether the primary is still the one that is connected.
const PRIMARY_CHECK_INTERVAL: Duration = Duration::from_secs(5);
/// A cluster's connection is many: one broken shard is no reason to replace it, unless nothing has
/// worked for so long.
const CLUSTER_SILENCE_MAX: Duration = Duration::from_secs(3);
/// Cut, so that a server's message fits a log line.
const REASON_CHARS_MAX: usize = 300;

/// A connection; clones share it.
#[derive(Clone)]
pub enum Link {
    /// A single server, or the primary that Sentinel named.
    Server(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl Link {
    pub async fn query(&self, command: &Cmd) -> RedisResult<Value> {
        match self {
            Self::Server(connection) => connection.clone().req_packed_command(command).await,
            Self::Cluster(connection) => connection.clone().req_packed_command(command).await,
        }?
        .extract_error()
    }

    /// Asks every primary there is.
    pub async fn query_primaries(&self, command: &Cmd) -> RedisResult<Vec<Value>> {
        match self {
            Self::Server(_) => Ok(vec![self.query(command).await?]),
            Self::Cluster(connection) => {
                let everywhere = RoutingInfo::MultiNode((MultipleNodeRoutingInfo::AllMasters, None));
                match connection.clone().route_command(command.clone(), everywhere).await? {
                    Value::Map(answers) => Ok(answers.into_iter().map(|(_, answer)| answer).collect()),
                    Value::Array(answers) => Ok(answers),
                    answer => Ok(vec![answer]),
                }
            }
        }
    }
}

/// What an error means for the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The connection, or the server behind it: others would fare no better.
    Link,
    /// The site's keys, or what may be done to them.
    Site,
}

pub fn fault_of(error: &RedisError) -> Fault {
    match error.kind() {
        ErrorKind::Server(
            ServerErrorKind::ResponseError
            | ServerErrorKind::ExecAbort
            | ServerErrorKind::NoScript
            | ServerErrorKind::CrossSlot
            | ServerErrorKind::NotBusy
            | ServerErrorKind::NoSub
            | ServerErrorKind::NoPerm,
        ) => Fault::Site,
        ErrorKind::Extension => match error.code() {
            Some("NOAUTH" | "WRONGPASS" | "NOREPLICAS" | "MISCONF" | "BUSY") => Fault::Link,
            _ => Fault::Site,
        },
        _ => Fault::Link,
    }
}

/// What a call that was not sent would have come to.
pub fn lost() -> RedisError {
    RedisError::from((ErrorKind::Io, "connection lost"))
}

/// An error in words that fit after "Redis: ".
pub fn reason_of(error: &RedisError) -> String {
    let text = match (error.code(), error.detail()) {
        (Some(code), Some(detail)) => format!("{code} {detail}"),
        (_, Some(detail)) => format!("{}: {detail}", error.category()),
        _ => error.to_string(),
    };
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(REASON_CHARS_MAX).collect()
}

/// Keeps a connection for all who need one.
pub struct Connections {
    target: Target,
    state: Mutex<State>,
    /// The number of the connection that stands; 0 while none does.
    current: watch::Sender<u64>,
}

struct State {
    link: Option<Link>,
    number: u64,
    /// When the connection was lost, and why; none while it stands.
    down: Option<(Instant, String)>,
    last_success: Instant,
}

impl Connections {
    pub fn new(target: Target) -> Self {
        let state = State {
            link: None,
            number: 0,
            down: Some((Instant::now(), "not yet connected".to_owned())),
            last_success: Instant::now(),
        };
        Self { target, state: Mutex::new(state), current: watch::Sender::new(0) }
    }

    /// The connection and its number, while there is one.
    pub fn get(&self) -> Option<(u64, Link)> {
        let state = self.lock();
        state.link.clone().map(|link| (state.number, link))
    }

    pub fn is_up(&self) -> bool {
        *self.current.borrow() != 0
    }

    pub fn watch(&self) -> watch::Receiver<u64> {
        self.current.subscribe()
    }

    /// Since when and why Redis is away; none while it isn't.
    pub fn down(&self) -> Option<(Duration, String)> {
        let state = self.lock();
        state.down.as_ref().map(|(since, reason)| (since.elapsed(), format!("{reason} ({})", self.target)))
    }

    pub fn succeeded(&self) {
        self.lock().last_success = Instant::now();
    }

    /// Says that a call failed on connection `number`; the connection is replaced if that is why.
    pub fn failed(&self, number: u64, error: &RedisError) {
        if fault_of(error) == Fault::Site {
            return;
        }
        let mut state = self.lock();
        let is_partial =
            matches!(state.link, Some(Link::Cluster(_))) && state.last_success.elapsed() < CLUSTER_SILENCE_MAX;
        if state.number != number || state.link.is_none() || is_partial {
            return;
        }
        let reason = reason_of(error);
        tracing::warn!(redis = %self.target, %reason, "lost Redis; hits are counted on");
        state.link = None;
        state.down = Some((Instant::now(), reason));
        drop(state);
        self.current.send_replace(0);
    }

    /// Connects, and again whenever the connection was lost. Never returns.
    pub async fn supervise(&self) {
        let mut backoff = BACKOFF_MIN;
        let mut watch = self.watch();
        loop {
            match connect(&self.target).await {
                Ok((link, primary)) => {
                    let connected_at = Instant::now();
                    self.connected(link);
                    self.until_lost(&mut watch, primary).await;
                    if connected_at.elapsed() > BACKOFF_MAX {
                        backoff = BACKOFF_MIN;
                    }
                }
                Err(error) => self.not_connected(&error),
            }
            tokio::time::sleep(backoff.mul_f64(rand::random_range(0.8..1.2))).await;
            backoff = (backoff * 2).min(BACKOFF_MAX);
        }
    }

    fn connected(&self, link: Link) {
        let number = {
            let mut state = self.lock();
            state.number += 1;
            state.link = Some(link);
            state.last_success = Instant::now();
            state.down = None;
            state.number
        };
        tracing::info!(redis = %self.target, "connected to Redis");
        self.current.send_replace(number);
    }

    fn not_connected(&self, error: &RedisError) {
        let reason = reason_of(error);
        let mut state = self.lock();
        let since = state.down.as_ref().map_or_else(Instant::now, |(since, _)| *since);
        let is_news = state.down.as_ref().is_none_or(|(_, known)| *known != reason);
        state.down = Some((since, reason.clone()));
        drop(state);
        if is_news {
            tracing::warn!(redis = %self.target, %reason, "can't reach Redis; hits are counted on");
        }
    }

    /// Returns when the connection is gone, or leads to what is no longer the primary.
    async fn until_lost(&self, watch: &mut watch::Receiver<u64>, mut primary: Option<Primary>) {
        loop {
            tokio::select! {
                // Closed only with `self`.
                _ = watch.wait_for(|number| *number == 0) => return,
                () = tokio::time::sleep(PRIMARY_CHECK_INTERVAL), if primary.is_some() => {}
            }
            let Some(Primary { sentinels, address }) = primary.as_mut() else { continue };
            let Ok(Ok(client)) = tokio::time::timeout(CONNECT_TIMEOUT, sentinels.async_get_client()).await else {
                continue;
            };
            let now = client.get_connection_info().addr().to_string();
            if now != *address {
                let moved = RedisError::from((ErrorKind::Io, "primary changed", format!("Sentinel now names {now}")));
                let number = self.lock().number;
                self.failed(number, &moved);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes a connection of the target's kind, and refuses a server that can't be published to.
pub(super) async fn connect(target: &Target) -> RedisResult<(Link, Option<Primary>)> {
    let connecting = async {
        let (link, primary) = match &target.kind {
            TargetKind::Standalone { database } => (Link::Server(connect_server(target, *database).await?), None),
            TargetKind::Cluster => (Link::Cluster(connect_cluster(target).await?), None),
            TargetKind::Sentinel { service, database, sentinel } => {
                let mut sentinels = sentinel_client(target, service, *database, sentinel)?;
                let client = sentinels.async_get_client().await?;
                let address = client.get_connection_info().addr().to_string();
                let connection = client.get_multiplexed_async_connection_with_config(&timeouts()).await?;
                (Link::Server(connection), Some(Primary { sentinels, address }))
            }
        };
        check(&link).await?;
        Ok((link, primary))
    };
    tokio::time::timeout(CONNECT_TIMEOUT, connecting)
        .await
        .unwrap_or_else(|_| Err(RedisError::from((ErrorKind::Io, "timed out", "no connection in time".to_owned()))))
}

/// The primary that Sentinel named, and whom to ask whether it still is.
pub(super) struct Primary {
    sentinels: SentinelClient,
    address: String,
}

async fn connect_server(target: &Target, database: i64) -> RedisResult<MultiplexedConnection> {
    let address =
        target.addresses.first().ok_or_else(|| RedisError::from((ErrorKind::InvalidClientConfig, "no address")))?;
    let settings = redis_settings(&target.credentials).set_db(database);
    let info = address_of(address, target.has_tls)
        .into_connection_info()?
        .set_redis_settings(settings)
        .set_tcp_settings(tcp_settings());
    let client = match certificates(target) {
        Some(certificates) => Client::build_with_tls(info, certificates),
        None => Client::open(info),
    };
    client?.get_multiplexed_async_connection_with_config(&timeouts()).await
}

async fn connect_cluster(target: &Target) -> RedisResult<ClusterConnection> {
    let seeds = target.addresses.iter().map(|address| address_of(address, target.has_tls));
    let mut builder = ClusterClientBuilder::new(seeds)
        .connection_timeout(CONNECTION_TIMEOUT)
        .response_timeout(RESPONSE_TIMEOUT)
        // A few redirections are normal while slots move; more would only hide an outage.
        .retries(3)
        .tcp_settings(tcp_settings());
    if target.has_tls {
        builder = builder.tls(TlsMode::Secure);
    }
    if let Some(certificates) = certificates(target) {
        builder = builder.certs(certificates);
    }
    if let Some(user) = &target.credentials.user {
        builder = builder.username(user);
    }
    if let Some(password) = &target.credentials.password {
        builder = builder.password(password);
    }
    builder.build()?.get_async_connection().await
}

fn sentinel_client(
    target: &Target,
    service: &str,
    database: i64,
    sentinel: &Credentials,
) -> RedisResult<SentinelClient> {
    let sentinels = target.addresses.iter().map(|address| address_of(address, target.has_tls));
    let mut builder = SentinelClientBuilder::new(sentinels, service, SentinelServerType::Master)?
        .set_client_to_redis_db(database)
        .set_client_to_redis_tcp_settings(tcp_settings())
        .set_client_to_sentinel_tcp_settings(tcp_settings());
    if target.has_tls {
        builder = builder.set_client_to_redis_tls_mode(TlsMode::Secure);
    }
    if let Some(certificates) = certificates(target) {
        builder = builder
            .set_client_to_sentinel_certificates(certificates.clone())
            .set_client_to_redis_certificates(certificates);
    }
    if let Some(user) = &target.credentials.user {
        builder = builder.set_client_to_redis_username(user);
    }
    if let Some(password) = &target.credentials.password {
        builder = builder.set_client_to_redis_password(password);
    }
    if let Some(user) = &sentinel.user {
        builder = builder.set_client_to_sentinel_username(user);
    }
    if let Some(password) = &sentinel.password {
        builder = builder.set_client_to_sentinel_password(password);
    }
    builder.build()
}

/// Refuses a server that can't be published to. What an ACL forbids to ask is found out later.
async fn check(link: &Link) -> RedisResult<()> {
    if let Link::Cluster(_) = link {
        return Ok(());
    }
    match link.query(redis::cmd("INFO").arg("replication")).await {
        Ok(answer) => {
            let answer = super::raise::text(&answer).unwrap_or_default();
            if answer.lines().any(|line| line.trim() == "role:slave") {
                return Err(RedisError::from((
                    ErrorKind::Client,
                    "not a primary",
                    "it is a read-only replica; give the address of its primary".to_owned(),
                )));
            }
            Ok(())
        }
        Err(error) if fault_of(&error) == Fault::Site => Ok(()),
        Err(error) => Err(error),
    }
}

fn address_of(address: &Address, has_tls: bool) -> ConnectionAddr {
    let Address { host, port } = address.clone();
    if has_tls {
        ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }
    } else {
        ConnectionAddr::Tcp(host, port)
    }
}

/// Servers are judged by the system's authorities all the same.
fn certificates(target: &Target) -> Option<TlsCertificates> {
    let identity = target.identity.as_ref().filter(|_| target.has_tls)?;
    let client_tls = ClientTlsConfig { client_cert: identity.certificate.clone(), client_key: identity.key.clone() };
    Some(TlsCertificates { client_tls: Some(client_tls), root_cert: None })
}

fn redis_settings(credentials: &Credentials) -> RedisConnectionInfo {
    let mut settings = RedisConnectionInfo::default();
    if let Some(user) = &credentials.user {
        settings = settings.set_username(user);
    }
    if let Some(password) = &credentials.password {
        settings = settings.set_password(password);
    }
    settings
}

fn tcp_settings() -> TcpSettings {
    let keepalive = redis::io::tcp::socket2::TcpKeepalive::new()
        .with_time(Duration::from_secs(10))
        .with_interval(Duration::from_secs(3))
        .with_retries(3);
    let settings = TcpSettings::default().set_nodelay(true).set_keepalive(keepalive);
    #[cfg(target_os = "linux")]
    let settings = settings.set_user_timeout(Duration::from_secs(10));
    settings
}

fn timeouts() -> AsyncConnectionConfig {
    AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECTION_TIMEOUT))
        .set_response_timeout(Some(RESPONSE_TIMEOUT))
}
