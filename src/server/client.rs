//! Who a request comes from, as far as limits go.

use crate::counter::ClientPrefix;

use super::wire::Wire;

/// The network that may bring so many new pages; none if nobody can tell.
pub fn client_prefix(wire: &Wire) -> Option<ClientPrefix> {
    wire.peer_address().ok().map(|address| ClientPrefix::of(address.ip()))
}
