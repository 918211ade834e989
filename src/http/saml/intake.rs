//! How much of what strangers post is held at a time: from the first byte of a body to the end of its verification. What comes beyond is
//! turned away at once and may come again, so that a flood neither fills the memory nor makes others wait behind it without end.

use std::{
    collections::{HashMap, hash_map::Entry},
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{domain::id::ConnectionId, http::client::Stranger};

/// Bytes of bodies in all, and those that one connection and one client may have of them. A usual response has 12 KiB.
const IN_ALL: usize = 32 << 20;
const OF_ONE: usize = 8 << 20;
const OF_STRANGER: usize = 2 << 20;

/// There is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

#[derive(Debug, Clone, Default)]
pub struct Intake(Arc<Mutex<Bytes>>);

#[derive(Debug, Default)]
struct Bytes {
    in_all: usize,
    of: HashMap<ConnectionId, usize>,
    of_stranger: HashMap<Stranger, usize>,
}

/// Whose room it is.
#[derive(Debug, Clone, Copy)]
struct Whose {
    connection: ConnectionId,
    /// `None`: it came over no socket.
    stranger: Option<Stranger>,
}

/// The room of one request, given back when it is dropped.
#[derive(Debug)]
pub struct Held {
    intake: Intake,
    whose: Whose,
    room: usize,
    used: usize,
}

impl Held {
    /// A request that waits costs so much, however short it is.
    pub const LEAST: usize = 16 * 1024;

    /// So many bytes more have come.
    pub fn grow(&mut self, bytes: usize) -> Result<(), Full> {
        self.used += bytes;
        let missing = self.used.saturating_sub(self.room);
        self.intake.take(self.whose, missing)?;
        self.room += missing;
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.intake.give_back(self.whose, self.room);
    }
}

impl Intake {
    pub fn enter(&self, connection: ConnectionId, stranger: Option<Stranger>) -> Result<Held, Full> {
        let whose = Whose { connection, stranger };
        self.take(whose, Held::LEAST)?;
        Ok(Held { intake: self.clone(), whose, room: Held::LEAST, used: 0 })
    }

    /// Bytes that are held now.
    #[must_use]
    pub fn held(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).in_all
    }

    fn take(&self, whose: Whose, bytes: usize) -> Result<(), Full> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_one = held.of.get(&whose.connection).copied().unwrap_or_default() + bytes;
        let of_stranger = whose.stranger.map(|stranger| (stranger, held.of_stranger.get(&stranger).copied().unwrap_or_default() + bytes));
        if held.in_all + bytes > IN_ALL || of_one > OF_ONE || of_stranger.is_some_and(|(_, all)| all > OF_STRANGER) {
            return Err(Full);
        }
        held.in_all += bytes;
        held.of.insert(whose.connection, of_one);
        held.of_stranger.extend(of_stranger);
        Ok(())
    }

    fn give_back(&self, whose: Whose, bytes: usize) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.in_all -= bytes;
        lessen(&mut held.of, whose.connection, bytes);
        if let Some(stranger) = whose.stranger {
            lessen(&mut held.of_stranger, stranger, bytes);
        }
    }
}

fn lessen<Key: Hash + Eq>(held: &mut HashMap<Key, usize>, key: Key, bytes: usize) {
    if let Entry::Occupied(mut entry) = held.entry(key) {
        *entry.get_mut() -= bytes;
        if *entry.get() == 0 {
            entry.remove();
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn connection(n: u128) -> ConnectionId {
        ConnectionId::new(Uuid::from_u128(n))
    }

    #[test]
    fn one_connection_fills_its_own_room_and_not_that_of_others() {
        let intake = Intake::default();
        let first: Vec<_> = std::iter::from_fn(|| intake.enter(connection(1), None).ok()).collect();
        assert_eq!(first.len(), OF_ONE / Held::LEAST);
        assert_eq!(intake.enter(connection(1), None).unwrap_err(), Full);
        assert!(intake.enter(connection(2), None).is_ok());
        drop(first);
        assert_eq!(intake.held(), 0);
        assert!(intake.0.lock().unwrap().of.is_empty());
    }

    #[test]
    fn one_client_fills_its_own_room_at_all_connections_and_not_that_of_others() {
        let intake = Intake::default();
        let at = |last: u8| Some(Stranger::at([192, 0, 2, last].into()));
        let mut n = 0;
        let enter = || {
            n += 1;
            intake.enter(connection(n % 3), at(1)).ok()
        };
        let first: Vec<_> = std::iter::from_fn(enter).collect();
        assert_eq!(first.len(), OF_STRANGER / Held::LEAST);
        assert!(intake.enter(connection(0), at(2)).is_ok() && intake.enter(connection(0), None).is_ok());
        drop(first);
        assert!(intake.enter(connection(0), at(1)).is_ok());
        assert_eq!(intake.held(), 0);
        assert!(intake.0.lock().unwrap().of_stranger.is_empty());
    }

    #[test]
    fn all_together_have_a_bound_and_what_grows_beyond_it_is_turned_away() {
        let intake = Intake::default();
        let mut held = Vec::new();
        for n in 0..10 {
            held.extend(std::iter::from_fn(|| intake.enter(connection(n), None).ok()));
        }
        assert_eq!(intake.held(), IN_ALL);
        let mut last = held.pop().unwrap();
        assert_eq!(last.grow(Held::LEAST), Ok(()), "what is paid for");
        assert_eq!(last.grow(1), Err(Full));
        held.pop();
        assert_eq!(last.grow(Held::LEAST - 1), Ok(()));
        drop((last, held));
        assert_eq!(intake.held(), 0);
    }
}
