//! Redis's clock, which vouches for the node's.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use redis::RedisResult;

use super::connection::Connections;
use super::link::Link;
use super::reply::{Fault, fault_of};

const INTERVAL: Duration = Duration::from_secs(60);
/// Age at which a reading says nothing any more.
const AGE_MAX: Duration = Duration::from_secs(600);
/// The clocks of a cluster's servers are at most so far apart; otherwise none of them vouches.
const APART_MAX: TimeDelta = TimeDelta::minutes(10);

/// Last reading of Redis's clock.
#[derive(Default)]
pub struct ServerTime(Mutex<Option<(DateTime<Utc>, Instant)>>);

impl ServerTime {
    /// Redis's time now; none if it was not read lately.
    pub fn now(&self) -> Option<DateTime<Utc>> {
        let (time, read_at) = (*self.0.lock().unwrap_or_else(PoisonError::into_inner))?;
        let age = read_at.elapsed();
        (age <= AGE_MAX).then(|| time + TimeDelta::from_std(age).unwrap_or_default())
    }

    fn set(&self, time: Option<DateTime<Utc>>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = time.map(|time| (time, Instant::now()));
    }

    /// Reads the clock on each connection and at intervals. Never returns.
    pub async fn run(&self, connections: &Connections) {
        let read = async |link: &Link| {
            self.set(read(link).await?);
            Ok(INTERVAL)
        };
        connections.check(INTERVAL, read).await;
    }
}

/// The time of Redis's primaries; none where it may not be asked or they differ.
pub async fn read(link: &Link) -> RedisResult<Option<DateTime<Utc>>> {
    match link.query_primaries::<(i64, i64)>(&redis::cmd("TIME")).await {
        Err(error) if fault_of(&error) == Fault::Site => Ok(None),
        times => Ok(agreed(times?.iter().filter_map(|(seconds, _)| DateTime::from_timestamp(*seconds, 0)))),
    }
}

fn agreed(times: impl Iterator<Item = DateTime<Utc>> + Clone) -> Option<DateTime<Utc>> {
    let (first, last) = (times.clone().min()?, times.max()?);
    (last - first <= APART_MAX).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_servers_that_agree_is_read_and_grows_older() {
        let time = |seconds: &[i64]| agreed(seconds.iter().map(|at| DateTime::from_timestamp(*at, 0).unwrap()));
        assert_eq!(time(&[]), None);
        assert_eq!(time(&[1_718_593_200, 1_718_593_205]).unwrap().timestamp(), 1_718_593_200);
        assert_eq!(time(&[1_718_593_200, 1_718_599_999]), None, "servers that differ");
        let server = ServerTime::default();
        assert_eq!(server.now(), None);
        server.set(time(&[1_718_593_200]));
        assert!(server.now().unwrap().timestamp() >= 1_718_593_200);
    }
}
