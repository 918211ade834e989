//! The time. Nodes go by the database's clock: what one of them writes, another one compares with its own time.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::SystemTime,
};

use super::App;
use crate::{
    db::{DbError, probe},
    domain::time::Timestamp,
};

/// A node whose clock differs by more does not sign people in and removes nothing: one of the two clocks is wrong.
const MOST_OFF_MS: i64 = 30_000;
/// A difference that says nothing, beside half of the time that the reading took.
const NOISE_MS: i64 = 5;

/// Tells the time. Tests hold it and move it.
#[derive(Debug, Clone)]
pub enum Clock {
    System,
    /// Milliseconds since 1970, moved by hand.
    Fixed(Arc<AtomicI64>),
    /// Another clock, set by that of the database.
    Set(Arc<SetClock>),
}

#[derive(Debug)]
pub struct SetClock {
    own: Clock,
    /// By how much the database's clock is ahead of the own one.
    ahead_ms: AtomicI64,
}

impl Clock {
    #[must_use]
    pub fn fixed(at: Timestamp) -> Self {
        Self::Fixed(Arc::new(AtomicI64::new(at.millis())))
    }

    /// The same clock, which [`App::set_clock`] sets.
    #[must_use]
    pub fn set_by_database(self) -> Self {
        Self::Set(Arc::new(SetClock { own: self, ahead_ms: AtomicI64::new(0) }))
    }

    #[must_use]
    pub fn now(&self) -> Timestamp {
        match self {
            Self::System => system_time(),
            Self::Fixed(at_ms) => Timestamp::from_millis(at_ms.load(Ordering::SeqCst)),
            Self::Set(set) => Timestamp::from_millis(set.own.now().millis().saturating_add(set.ahead_ms.load(Ordering::SeqCst))),
        }
    }

    /// Moves a fixed clock, and every clone of it; the system's clock stays what it is.
    pub fn advance_secs(&self, secs: i64) {
        match self {
            Self::System => {}
            Self::Fixed(at_ms) => {
                at_ms.fetch_add(secs * 1000, Ordering::SeqCst);
            }
            Self::Set(set) => set.own.advance_secs(secs),
        }
    }

    /// Without what the database's clock corrects.
    fn own(&self) -> Timestamp {
        if let Self::Set(set) = self { set.own.now() } else { self.now() }
    }

    /// Adopts the database's time, which was read between two readings of this node's clock. A difference that the delay of the answer
    /// can explain is ignored, so that the time does not jump.
    fn set(&self, before: Timestamp, database: Timestamp, after: Timestamp) {
        let Self::Set(set) = self else { return };
        let half_ms = (after.millis() - before.millis()) / 2;
        let ahead_ms = database.millis() - (before.millis() + half_ms);
        if (ahead_ms - set.ahead_ms.load(Ordering::SeqCst)).abs() > half_ms.abs() + NOISE_MS {
            set.ahead_ms.store(ahead_ms, Ordering::SeqCst);
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
fn system_time() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// The clock by which all nodes go.
#[derive(Debug, Clone)]
pub enum DatabaseClock {
    /// That of the PostgreSQL server. A SQLite file has that of its machine.
    Server,
    /// One that a test holds.
    Held(Clock),
}

impl DatabaseClock {
    /// The one that belongs to a node's clock: a test that holds the one holds the other.
    pub(super) fn of(clock: &Clock) -> Self {
        match clock {
            Clock::System => Self::Server,
            Clock::Fixed(_) | Clock::Set(_) => Self::Held(clock.clone()),
        }
    }
}

/// The clock of this node and that of the database differ too much.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the clock of this node is {} seconds {} the database's: set both by NTP", .ahead_ms.abs() / 1000, if *.ahead_ms > 0 { "behind" } else { "ahead of" })]
pub struct ClockOff {
    ahead_ms: i64,
}

impl ClockOff {
    /// `ahead_ms`: by how much the database's clock is ahead.
    #[must_use]
    pub fn find(ahead_ms: i64) -> Option<Self> {
        (ahead_ms.abs() > MOST_OFF_MS).then_some(Self { ahead_ms })
    }
}

impl App {
    /// Reads the database's clock and sets this node's by it.
    pub async fn set_clock(&self) -> Result<(), DbError> {
        let before = self.clock.own();
        let database = match &self.database_clock {
            DatabaseClock::Server => probe::clock(&self.db).await?,
            DatabaseClock::Held(clock) => Some(clock.now()),
        };
        if let Some(database) = database {
            self.clock.set(before, database, self.clock.own());
        }
        Ok(())
    }

    /// Whether the clocks differ too much, as far as was measured.
    pub fn check_clock(&self) -> Result<(), ClockOff> {
        let Clock::Set(set) = &self.clock else { return Ok(()) };
        ClockOff::find(set.ahead_ms.load(Ordering::SeqCst)).map_or(Ok(()), Err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Timestamp = Timestamp::from_millis(1_772_500_000_000);

    fn later_ms(ms: i64) -> Timestamp {
        Timestamp::from_millis(AT.millis() + ms)
    }

    #[test]
    fn a_fixed_clock_moves_for_all_its_clones() {
        let clock = Clock::fixed(AT);
        let (clone, set) = (clock.clone(), clock.clone().set_by_database());
        clock.advance_secs(2);
        set.advance_secs(1);
        assert_eq!((clone.now(), set.now()), (AT.plus_secs(3), AT.plus_secs(3)));
    }

    #[test]
    fn a_clock_is_set_by_the_database_and_not_by_the_delay_of_its_answer() {
        let clock = Clock::fixed(AT).set_by_database();
        clock.set(AT, later_ms(40), later_ms(100));
        assert_eq!(clock.now(), AT, "it may be the delay");
        clock.set(AT, later_ms(3_600_050), later_ms(100));
        assert_eq!(clock.now(), later_ms(3_600_000));
        clock.set(AT, later_ms(3_600_080), later_ms(100));
        assert_eq!(clock.now(), later_ms(3_600_000));
    }

    #[test]
    fn clocks_may_differ_by_half_a_minute() {
        assert_eq!(ClockOff::find(30_000), None);
        let (behind, ahead) = (ClockOff::find(30_001).unwrap().to_string(), ClockOff::find(-3_600_000).unwrap().to_string());
        assert!(behind.contains("30 seconds behind") && ahead.contains("3600 seconds ahead of"), "{behind} {ahead}");
    }
}
