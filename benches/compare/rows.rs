//! The rows: the endpoints of the fast path, alone and with Redis, and through hyper.

use std::net::SocketAddr;

use crate::drive::requests::{Ask, Pages, Requests};

pub struct Row {
    pub name: String,
    ask: Ask,
    pub has_redis: bool,
    pub is_through_hyper: bool,
}

const ASKS: [(&str, Ask); 5] = [
    ("hit, 204", Ask::Hit("/v1/hit?figures=0")),
    ("hit, JSON", Ask::Hit("/v1/hit")),
    ("hit, 204, a third with fbclid", Ask::SharedHit("/v1/hit?figures=0")),
    ("figures", Ask::Figures),
    ("pixel", Ask::Pixel),
];

impl Row {
    pub fn requests(&self, address: SocketAddr) -> Requests {
        let requests = Requests::new(address, self.ask, Pages::InTurn(50), true);
        if self.is_through_hyper { requests.through_hyper() } else { requests }
    }
}

pub fn chosen(parts: &[String]) -> Vec<Row> {
    let rows = |has_redis, is_through_hyper| {
        ASKS.map(|(name, ask)| {
            let name = if has_redis { format!("{name}, Redis") } else { name.to_owned() };
            Row { name, ask, has_redis, is_through_hyper }
        })
    };
    let all = [rows(false, false), rows(true, false), rows(false, true)].into_iter().flatten();
    all.filter(|row| parts.is_empty() || parts.iter().any(|part| row.name.contains(part.as_str()))).collect()
}
