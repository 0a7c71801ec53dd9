//! Defaults of the settings. A site's own stand in `Site::with_defaults`.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::Duration;

use super::address::PublicAddress;
use super::limits::{Limits, rate};
use crate::server::Timeouts;
use crate::server::hit::{Per, RateLimits, WhenExceeded};

pub const LISTEN: PublicAddress = PublicAddress::Tcp(SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 8080)));
pub const ADMIN_LISTEN: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 8081));
pub const DATA_DIR: &str = "data";
pub const REDIS_PREFIX: &str = "thongke";
pub const LOG_FILTER: &str = "info";

impl Default for Limits {
    /// Wide enough for a school or a ministry behind one address; a page, for a school that reads it in an hour.
    fn default() -> Self {
        Self {
            rates: RateLimits {
                address: rate(100, Per::Second, 1_000),
                page: rate(2_000, Per::Day, 500),
                site: rate(5_000, Per::Second, 50_000),
                // A page may show several boxes.
                reads: rate(200, Per::Second, 2_000),
                when_exceeded: WhenExceeded::Refuse,
            },
            new_pages: true,
            connections: 16_384,
            connections_per_address: 4_096,
            timeouts: Timeouts {
                head: Duration::from_secs(5),
                body: Duration::from_secs(5),
                write: Duration::from_secs(10),
                write_renews: false,
                idle: Duration::from_secs(60),
            },
        }
    }
}
