//! Refusals that repeat: the first ones of an hour are stored one by one, all others are counted in one entry for each kind.
//!
//! So neither a stranger nor a token fills a log with refusals, and none pushes other entries out of it.

use std::{collections::HashMap, hash::Hash};

use crate::domain::{id::EventId, time::Timestamp};

/// How long a window lasts, in milliseconds.
const WINDOW_MS: i64 = 3_600_000;
/// Counted entries of past windows that wait to be written at most.
const PAST: usize = 4096;

/// An entry that can stand for several refusals of one kind.
pub trait Repeated: Clone {
    fn id(&self) -> EventId;
    fn at(&self) -> Timestamp;
    /// Counts another refusal.
    fn repeat(&mut self, at: Timestamp);
}

#[derive(Debug)]
struct Counted<Entry> {
    entry: Entry,
    /// It has changed since it was last written.
    is_changed: bool,
}

/// How a refusal is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is to be stored by itself.
    Stored,
    /// It is counted in the entry with this id.
    Counted(EventId),
}

/// The refusals of the current window, by the budgets that they take from and by kind.
#[derive(Debug)]
pub struct Repeats<Budget, Kind, Entry> {
    window: i64,
    taken: HashMap<Budget, u32>,
    counted: HashMap<Kind, Counted<Entry>>,
    /// Counted entries of windows before, which are not written yet.
    past: Vec<Entry>,
}

impl<Budget, Kind, Entry> Default for Repeats<Budget, Kind, Entry> {
    fn default() -> Self {
        Self { window: 0, taken: HashMap::new(), counted: HashMap::new(), past: Vec::new() }
    }
}

impl<Budget: Hash + Eq, Kind: Hash + Eq, Entry: Repeated> Repeats<Budget, Kind, Entry> {
    /// Counts a refusal, unless each of these budgets has room for one more in this window.
    pub fn add(&mut self, entry: &Entry, kind: Kind, budgets: impl IntoIterator<Item = (Budget, u32)> + Clone) -> Outcome {
        self.turn_to(entry.at().millis().div_euclid(WINDOW_MS));
        let has_room = |(budget, limit): (Budget, u32)| self.taken.get(&budget).is_none_or(|taken| *taken < limit);
        if budgets.clone().into_iter().all(has_room) {
            for (budget, _) in budgets {
                *self.taken.entry(budget).or_default() += 1;
            }
            return Outcome::Stored;
        }
        let counted = match self.counted.entry(kind) {
            std::collections::hash_map::Entry::Occupied(found) => {
                let counted = found.into_mut();
                counted.entry.repeat(entry.at());
                counted
            }
            std::collections::hash_map::Entry::Vacant(place) => place.insert(Counted { entry: entry.clone(), is_changed: true }),
        };
        counted.is_changed = true;
        Outcome::Counted(counted.entry.id())
    }

    /// A clock that was set back stays in the window that it left.
    fn turn_to(&mut self, window: i64) {
        if window <= self.window {
            return;
        }
        self.window = window;
        self.taken.clear();
        let unwritten = self.counted.drain().filter(|(_, counted)| counted.is_changed).map(|(_, counted)| counted.entry);
        self.past.extend(unwritten);
        self.past.truncate(PAST);
    }

    /// The counted entries that have changed since they were taken last, each with its whole count.
    pub fn take_changed(&mut self) -> Vec<Entry> {
        let mut changed = std::mem::take(&mut self.past);
        for counted in self.counted.values_mut().filter(|counted| counted.is_changed) {
            counted.is_changed = false;
            changed.push(counted.entry.clone());
        }
        // In one order, so that two transactions which write them do not wait for each other.
        changed.sort_unstable_by_key(Repeated::id);
        changed
    }

    /// Takes back entries that could not be written.
    pub fn put_back(&mut self, entries: Vec<Entry>) {
        for entry in entries {
            match self.counted.values_mut().find(|counted| counted.entry.id() == entry.id()) {
                // The one that is still counted has a count at least as high.
                Some(counted) => counted.is_changed = true,
                None if self.past.len() < PAST => self.past.push(entry),
                None => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    #[derive(Debug, Clone, PartialEq)]
    struct Refusal {
        id: EventId,
        at: Timestamp,
        occurrences: u32,
        last_at: Timestamp,
    }

    impl Repeated for Refusal {
        fn id(&self) -> EventId {
            self.id
        }

        fn at(&self) -> Timestamp {
            self.at
        }

        fn repeat(&mut self, at: Timestamp) {
            self.occurrences += 1;
            self.last_at = at;
        }
    }

    fn refusal(id: u128, at: Timestamp) -> Refusal {
        Refusal { id: EventId::new(Uuid::from_u128(id)), at, occurrences: 1, last_at: at }
    }

    type Tested = Repeats<&'static str, &'static str, Refusal>;

    #[test]
    fn beyond_a_budget_refusals_are_counted_by_kind() {
        let mut repeats = Tested::default();
        let mut add = |id, at, kind, source| repeats.add(&refusal(id, at), kind, [(source, 2), ("all", 3)]);
        assert_eq!(add(1, NOW, "junk", "a"), Outcome::Stored);
        assert_eq!(add(2, NOW, "junk", "a"), Outcome::Stored);
        let first = EventId::new(Uuid::from_u128(3));
        assert_eq!(add(3, NOW, "junk", "a"), Outcome::Counted(first));
        assert_eq!(add(4, NOW.plus_secs(7), "junk", "a"), Outcome::Counted(first));
        assert_eq!(add(5, NOW, "other", "a"), Outcome::Counted(EventId::new(Uuid::from_u128(5))), "another kind");
        assert_eq!(add(6, NOW, "junk", "b"), Outcome::Stored, "another source has a budget");
        assert_eq!(add(7, NOW, "junk", "c"), Outcome::Counted(first), "all together have one, too");
        let changed = repeats.take_changed();
        assert_eq!(changed.iter().map(|entry| entry.occurrences).collect::<Vec<_>>(), [3, 1]);
        assert_eq!((changed[0].at, changed[0].last_at), (NOW, NOW));
        assert_eq!(repeats.take_changed(), []);
    }

    #[test]
    fn a_new_window_has_new_budgets_and_keeps_what_was_not_written() {
        let mut repeats = Tested::default();
        let all = |repeats: &mut Tested, id, at| repeats.add(&refusal(id, at), "junk", [("all", 1)]);
        assert_eq!(all(&mut repeats, 1, NOW), Outcome::Stored);
        all(&mut repeats, 2, NOW);
        let later = NOW.plus_secs(3600);
        assert_eq!(all(&mut repeats, 3, later), Outcome::Stored);
        assert_eq!(all(&mut repeats, 4, NOW), Outcome::Counted(EventId::new(Uuid::from_u128(4))), "a clock that was set back");
        let changed = repeats.take_changed();
        assert_eq!(changed.len(), 2);
        // The database was away; meanwhile one more came.
        all(&mut repeats, 5, later);
        repeats.put_back(changed);
        let changed = repeats.take_changed();
        assert_eq!(changed.iter().map(|entry| entry.occurrences).collect::<Vec<_>>(), [1, 2]);
    }
}
