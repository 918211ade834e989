//! The places of open connections, in all and for each client address, and which connection gives way when they are taken.
//!
//! A connection gives way while it waits for a request: first those that never sent one, then those between two requests, each the
//! oldest first. A connection with a request in progress keeps its place.

use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use crate::{config::Network, http::client::Stranger};

/// How many connections may be open.
#[derive(Debug, Clone)]
pub struct Limits {
    pub in_all: usize,
    pub of_client: usize,
    /// Addresses to which `of_client` does not apply: proxies, which carry the connections of many clients.
    pub exempt: Vec<Network>,
}

/// The request that a connection waits for. Connections give way in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Waiting {
    /// The first one: its head has not arrived.
    FirstHead,
    /// The next one.
    NextRequest,
}

/// The place of a waiting connection in the order in which connections give way: its state, the event that began it, its id.
type Turn = (Waiting, u64, u64);

#[derive(Debug)]
struct Open {
    client: Option<Stranger>,
    turn: Option<Turn>,
    give_way: Arc<Notify>,
}

#[derive(Debug, Default)]
struct OfClient {
    open: usize,
    waiting: BTreeSet<Turn>,
}

#[derive(Debug, Default)]
struct Table {
    events: u64,
    open: HashMap<u64, Open>,
    of_client: HashMap<Stranger, OfClient>,
    waiting: BTreeSet<Turn>,
}

impl Table {
    fn event(&mut self) -> u64 {
        self.events += 1;
        self.events
    }

    fn set_turn(&mut self, id: u64, waiting: Option<Waiting>) -> bool {
        let event = self.event();
        let Some(open) = self.open.get_mut(&id) else { return false };
        let turn = waiting.map(|waiting| (waiting, event, id));
        let before = std::mem::replace(&mut open.turn, turn);
        let of_client = open.client.and_then(|client| self.of_client.get_mut(&client));
        for turns in [Some(&mut self.waiting), of_client.map(|of_client| &mut of_client.waiting)].into_iter().flatten() {
            if let Some(before) = before {
                turns.remove(&before);
            }
            turns.extend(turn);
        }
        true
    }

    fn remove(&mut self, id: u64) -> Option<Open> {
        self.set_turn(id, None);
        let open = self.open.remove(&id)?;
        if let Some(client) = open.client
            && let Some(of_client) = self.of_client.get_mut(&client)
        {
            of_client.open -= 1;
            if of_client.open == 0 {
                self.of_client.remove(&client);
            }
        }
        Some(open)
    }

    /// Takes the place of the connection that waits longest.
    fn evict(&mut self, turn: Option<Turn>) -> bool {
        let Some(open) = turn.and_then(|(_, _, id)| self.remove(id)) else { return false };
        open.give_way.notify_one();
        true
    }
}

/// Why a new connection gets no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// All places are taken by connections with a request in progress: one may become free.
    InAll,
    /// The client's own places are.
    OfClient,
}

/// Cheap to clone; all clones are one.
#[derive(Debug, Clone, Default)]
pub struct Places {
    table: Arc<Mutex<Table>>,
    freed: Arc<Notify>,
}

impl Places {
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a connection from this address, and whether another connection gave way for it.
    pub fn take(&self, address: IpAddr, limits: &Limits) -> Result<(Place, bool), Taken> {
        let address = address.to_canonical();
        let client = (!limits.exempt.iter().any(|network| network.contains(address))).then(|| Stranger::at(address));
        let mut table = self.lock();
        let mut evicted = false;
        if let Some(of_client) = client.and_then(|client| table.of_client.get(&client))
            && of_client.open >= limits.of_client
        {
            let oldest = of_client.waiting.first().copied();
            if !table.evict(oldest) {
                return Err(Taken::OfClient);
            }
            evicted = true;
        }
        if table.open.len() >= limits.in_all {
            let oldest = table.waiting.first().copied();
            if !table.evict(oldest) {
                return Err(Taken::InAll);
            }
            evicted = true;
        }
        let id = table.event();
        let give_way = Arc::new(Notify::new());
        table.open.insert(id, Open { client, turn: None, give_way: give_way.clone() });
        if let Some(client) = client {
            table.of_client.entry(client).or_default().open += 1;
        }
        table.set_turn(id, Some(Waiting::FirstHead));
        drop(table);
        Ok((Place { places: self.clone(), id, give_way }, evicted))
    }

    /// Waits until a connection ends or has no request in progress any more.
    pub async fn freed(&self) {
        self.freed.notified().await;
    }
}

/// The place of one connection, given back when it is dropped.
#[derive(Debug)]
pub struct Place {
    places: Places,
    id: u64,
    give_way: Arc<Notify>,
}

impl Place {
    /// Completes when the connection has lost its place to another one.
    pub async fn lost(&self) {
        self.give_way.notified().await;
    }

    /// True until the head of the first request has arrived.
    #[must_use]
    pub fn is_half_open(&self) -> bool {
        let table = self.places.lock();
        table.open.get(&self.id).is_some_and(|open| matches!(open.turn, Some((Waiting::FirstHead, ..))))
    }

    /// A request has arrived. `None` if the connection has lost its place: nobody would get the answer.
    #[must_use]
    pub fn begin_request(self: &Arc<Self>) -> Option<InProgress> {
        let kept = self.places.lock().set_turn(self.id, None);
        kept.then(|| InProgress(self.clone()))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.lock().remove(self.id);
        self.places.freed.notify_one();
    }
}

/// Keeps the place of a connection until the answer has left the program.
#[derive(Debug)]
pub struct InProgress(Arc<Place>);

impl Drop for InProgress {
    fn drop(&mut self) {
        let Place { places, id, .. } = &*self.0;
        places.lock().set_turn(*id, Some(Waiting::NextRequest));
        places.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(in_all: usize, of_client: usize) -> Limits {
        Limits { in_all, of_client, exempt: vec!["10.0.0.0/8".parse().unwrap()] }
    }

    fn take(places: &Places, address: &str, limits: &Limits) -> Result<Arc<Place>, Taken> {
        places.take(address.parse().unwrap(), limits).map(|(place, _)| Arc::new(place))
    }

    fn has_lost(place: &Place) -> bool {
        !place.places.lock().open.contains_key(&place.id)
    }

    #[test]
    fn connections_without_a_request_give_way_before_idle_ones_and_the_oldest_first() {
        let (places, limits) = (Places::default(), limits(4, 4));
        let [idle, first, second, busy] = ["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"].map(|a| take(&places, a, &limits).unwrap());
        drop(idle.begin_request().unwrap());
        let request = busy.begin_request().unwrap();
        let mut new = Vec::new();
        for (loser, others) in [(&first, [&second, &idle]), (&second, [&idle, &busy])] {
            new.push(take(&places, "192.0.2.5", &limits).unwrap().begin_request().unwrap());
            assert!(has_lost(loser) && others.iter().all(|place| !has_lost(place)));
        }
        new.push(take(&places, "192.0.2.6", &limits).unwrap().begin_request().unwrap());
        assert!(has_lost(&idle) && !has_lost(&busy));
        assert!(idle.begin_request().is_none(), "a request that came too late is not worked on");
        assert_eq!(take(&places, "192.0.2.7", &limits).unwrap_err(), Taken::InAll);
        drop(request);
        assert!(take(&places, "192.0.2.7", &limits).is_ok() && has_lost(&busy));
    }

    #[test]
    fn a_client_takes_places_from_itself_alone() {
        let (places, limits) = (Places::default(), limits(100, 2));
        let other = take(&places, "192.0.2.1", &limits).unwrap();
        let [one, two] = [(); 2].map(|()| take(&places, "2001:db8::1", &limits).unwrap());
        // The same subscriber: the first half of the address decides.
        let three = take(&places, "2001:db8::2", &limits).unwrap();
        assert!(has_lost(&one) && !has_lost(&two) && !has_lost(&other));
        let busy = [two.begin_request().unwrap(), three.begin_request().unwrap()];
        assert_eq!(take(&places, "2001:db8::3", &limits).unwrap_err(), Taken::OfClient);
        drop(busy);
        drop((two, three, one));
        assert!(take(&places, "2001:db8::3", &limits).is_ok());
        assert!(!places.lock().of_client.contains_key(&Stranger::at("2001:db8::1".parse().unwrap())), "nothing is kept of who is gone");
    }

    #[test]
    fn a_proxy_has_no_limit_but_that_of_all() {
        let (places, limits) = (Places::default(), limits(10, 2));
        let through_proxy: Vec<_> = (0..10).map(|_| take(&places, "10.1.2.3", &limits).unwrap()).collect();
        assert!(through_proxy.iter().all(|place| !has_lost(place)));
        let _new = take(&places, "::ffff:10.1.2.3", &limits).unwrap();
        assert!(has_lost(&through_proxy[0]));
    }
}
