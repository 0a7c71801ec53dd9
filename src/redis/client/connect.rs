//! Making a connection of the target's kind.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::cluster::ClusterClientBuilder;
use redis::cluster_async::ClusterConnection;
use redis::io::tcp::TcpSettings;
use redis::sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType};
use redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, ConnectionAddr, ErrorKind, InfoDict, IntoConnectionInfo as _,
    RedisConnectionInfo, RedisError, RedisResult, TlsCertificates, TlsMode,
};

use super::link::Link;
use super::reply::{Fault, fault_of};
use super::target::{Address, Credentials, Target, TargetKind};

/// Limit of one command. It may still run later, which does no harm: calls may be repeated.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(2);
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(2);
/// Limit of connecting in all: names, sentinels and handshakes.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(6);

/// Installs the cryptography of TLS, which the Redis library leaves out.
fn provide_cryptography() {
    // An error means that it is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// Connects, and refuses a server that can't be published to.
pub async fn connect(target: &Target) -> RedisResult<(Link, Option<Primary>)> {
    provide_cryptography();
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
        refuse_replica(&link).await?;
        Ok((link, primary))
    };
    tokio::time::timeout(CONNECT_TIMEOUT, connecting)
        .await
        .unwrap_or_else(|_| Err(RedisError::from((ErrorKind::Io, "timed out", "no connection in time".to_owned()))))
}

/// Primary that Sentinel named, and the sentinels that know whether it still is.
pub struct Primary {
    pub sentinels: SentinelClient,
    pub address: String,
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
    let seeds = target.addresses.iter().map(|address| {
        let seed = address_of(address, target.has_tls).into_connection_info()?;
        Ok(seed.set_redis_settings(redis_settings(&target.credentials)))
    });
    let mut builder = ClusterClientBuilder::new(seeds.collect::<RedisResult<Vec<_>>>()?)
        .connection_timeout(CONNECTION_TIMEOUT)
        .response_timeout(RESPONSE_TIMEOUT)
        // A few redirections are normal while slots move; more would hide an outage.
        .retries(3)
        .tcp_settings(tcp_settings());
    if let Some(certificates) = certificates(target) {
        builder = builder.certs(certificates);
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
    let Credentials { user, password } = &target.credentials;
    builder = user.iter().fold(builder, SentinelClientBuilder::set_client_to_redis_username);
    builder = password.iter().fold(builder, SentinelClientBuilder::set_client_to_redis_password);
    builder = sentinel.user.iter().fold(builder, SentinelClientBuilder::set_client_to_sentinel_username);
    builder = sentinel.password.iter().fold(builder, SentinelClientBuilder::set_client_to_sentinel_password);
    builder.build()
}

/// Refuses a read-only replica. Where an ACL forbids `INFO`, the first write fails.
async fn refuse_replica(link: &Link) -> RedisResult<()> {
    if let Link::Cluster(_) = link {
        return Ok(());
    }
    match link.query::<InfoDict>(redis::cmd("INFO").arg("replication")).await {
        Ok(info) if info.get::<String>("role").as_deref() == Some("slave") => {
            let advice = "it is a read-only replica; give the address of its primary".to_owned();
            Err(RedisError::from((ErrorKind::Client, "not a primary", advice)))
        }
        Err(error) if fault_of(&error) == Fault::Link => Err(error),
        _ => Ok(()),
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

/// Client certificate. The server's is still checked against the system's authorities.
fn certificates(target: &Target) -> Option<TlsCertificates> {
    let identity = target.identity.as_ref().filter(|_| target.has_tls)?;
    let client_tls = ClientTlsConfig { client_cert: identity.certificate.clone(), client_key: identity.key.clone() };
    Some(TlsCertificates { client_tls: Some(client_tls), root_cert: None })
}

fn redis_settings(credentials: &Credentials) -> RedisConnectionInfo {
    let Credentials { user, password } = credentials;
    let settings = user.iter().fold(RedisConnectionInfo::default(), RedisConnectionInfo::set_username);
    password.iter().fold(settings, RedisConnectionInfo::set_password)
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

#[cfg(test)]
mod tests {
    use super::super::target::Identity;
    use super::*;

    fn target(address: &str) -> Target {
        super::super::target::parse(&[address.to_owned()], None).unwrap()
    }

    #[test]
    fn a_client_certificate_is_shown_over_tls_alone() {
        let identity = Identity { certificate: b"c".to_vec(), key: b"k".to_vec() };
        for (address, has_tls) in [("redis://a", false), ("rediss://a", true)] {
            let target = target(address);
            assert!(certificates(&target).is_none(), "{address}: none is configured");
            let shown = certificates(&Target { identity: Some(identity.clone()), ..target });
            assert_eq!(shown.is_some(), has_tls, "{address}");
        }
    }

    #[test]
    fn a_tls_address_is_reached_by_tls_that_checks_the_server() {
        let address = |text| address_of(&target(text).addresses[0], target(text).has_tls);
        assert_eq!(address("redis://a:1"), ConnectionAddr::Tcp("a".to_owned(), 1));
        let ConnectionAddr::TcpTls { host, port, insecure, .. } = address("rediss://a:1") else { panic!("no TLS") };
        assert_eq!((host.as_str(), port, insecure), ("a", 1, false));
    }

    #[test]
    fn user_and_password_are_those_of_the_address() {
        let settings = redis_settings(&target("redis://u:p@a").credentials);
        assert_eq!((settings.username(), settings.password()), (Some("u"), Some("p")));
        let settings = redis_settings(&target("redis://:p@a").credentials);
        assert_eq!((settings.username(), settings.password()), (None, Some("p")));
    }

    #[test]
    fn sentinels_are_asked_with_and_without_tls() {
        provide_cryptography();
        for address in ["redis+sentinel://u:p@a/main?sentinel_password=q", "rediss+sentinel://a/main/2"] {
            let target = target(address);
            let TargetKind::Sentinel { service, database, sentinel } = &target.kind else { panic!("{address}") };
            assert!(sentinel_client(&target, service, *database, sentinel).is_ok(), "{address}");
        }
    }
}
