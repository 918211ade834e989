//! What every family of tests needs: fresh databases on both engines, fixed times and identifiers.

pub mod cut;
pub mod dump;
pub mod engines;
pub mod gateway;
pub mod idp;
pub mod installation;
pub mod log;
pub mod process;
pub mod statements;
pub mod together;
pub mod whole;

use rolegate::domain::{
    actor::{Actor, Occasion, Tally},
    id::IdSource,
    time::Timestamp,
};

/// 2026-03-03T01:06:40Z: the time at which tests begin. Nothing sleeps; later is `NOW.plus_secs(…)`.
pub const NOW: Timestamp = Timestamp::from_millis(1_772_500_000_000);

/// Identifiers that are the same in every run; other numbers give others.
pub fn ids(seed: u8) -> IdSource {
    IdSource::new(NOW, [seed; 16])
}

/// The host operator, at [`NOW`].
pub fn occasion(seed: u8) -> Occasion {
    Occasion {
        actor: Actor::HostOperator,
        now: NOW,
        ids: ids(seed),
        correlation: format!("test-{seed}"),
        client_request_id: None,
        tally: Tally::default(),
    }
}
