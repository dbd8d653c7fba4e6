//! How many connections may there be, of one address and in all? Source: V22.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Where a client is: its address, of which an IPv6 network of 64 bits, which one client may have, is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Peer(IpAddr);

impl Peer {
    /// The client at this address.
    pub fn at(address: IpAddr) -> Peer {
        match address.to_canonical() {
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                Peer(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into())
            }
            address => Peer(address),
        }
    }
}

/// Lets connections in. Clones are the same doors.
#[derive(Clone)]
pub struct Doors {
    all: Arc<Semaphore>,
    open: Arc<Mutex<HashMap<Peer, usize>>>,
    of_one_peer: usize,
}

/// A connection that was let in; it leaves when this is dropped.
pub struct Guest {
    peer: Peer,
    open: Arc<Mutex<HashMap<Peer, usize>>>,
    _one_of_all: OwnedSemaphorePermit,
}

impl Doors {
    /// For `all` connections, of which `of_one_peer` may be of one address.
    pub fn new(all: usize, of_one_peer: usize) -> Doors {
        Doors { all: Arc::new(Semaphore::new(all)), open: Arc::default(), of_one_peer }
    }

    /// Waits until there is room for one more.
    pub async fn room(&self) -> Option<OwnedSemaphorePermit> {
        // The semaphore is never closed.
        self.all.clone().acquire_owned().await.ok()
    }

    /// Lets one in, unless its address has too many open already.
    pub fn admit(&self, peer: Peer, room: OwnedSemaphorePermit) -> Option<Guest> {
        let mut open = lock(&self.open);
        let count = open.entry(peer).or_insert(0);
        if *count >= self.of_one_peer {
            return None;
        }
        *count += 1;
        Some(Guest { peer, open: self.open.clone(), _one_of_all: room })
    }
}

impl Guest {
    /// Who it is.
    pub fn peer(&self) -> Peer {
        self.peer
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let mut open = lock(&self.open);
        if let Some(count) = open.get_mut(&self.peer) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                open.remove(&self.peer);
            }
        }
    }
}

fn lock(open: &Mutex<HashMap<Peer, usize>>) -> MutexGuard<'_, HashMap<Peer, usize>> {
    open.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(address: &str) -> Peer {
        Peer::at(address.parse().expect("an address"))
    }

    #[tokio::test] // V22
    async fn one_address_does_not_take_all_doors() {
        let doors = Doors::new(3, 2);
        let admit = async |address: &str| doors.admit(peer(address), doors.room().await.expect("room"));
        let (first, _second) = (admit("10.0.0.1").await, admit("::ffff:10.0.0.1").await);
        assert!(first.is_some() && admit("10.0.0.1").await.is_none(), "both are one address");
        let other = admit("10.0.0.2").await;
        assert!(other.is_some(), "and another is let in");
        drop(first);
        assert!(admit("10.0.0.1").await.is_some());
        drop(other);
        assert_eq!(lock(&doors.open).len(), 1, "who left is forgotten");
    }

    #[test] // V22
    fn a_network_of_64_bits_is_one_client() {
        assert_eq!(peer("2001:db8:1:2::1"), peer("2001:db8:1:2:ffff::9"));
        assert_ne!(peer("2001:db8:1:2::1"), peer("2001:db8:1:3::1"));
    }
}
