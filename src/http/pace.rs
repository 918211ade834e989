//! The rate of each connection's requests, on this node.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use crate::domain::{
    id::ConnectionId,
    rate::{Bucket, Rate},
    time::Timestamp,
};

/// Above so many, buckets that are full again are forgotten.
const KEPT: usize = 10_000;

/// One bucket for each connection that has spoken.
#[derive(Debug, Clone, Default)]
pub struct Pace(Arc<Mutex<HashMap<ConnectionId, Bucket>>>);

impl Pace {
    /// # Errors
    /// When the connection is too fast: after how many seconds it may go on.
    pub fn take(&self, connection: ConnectionId, rate: Rate, now: Timestamp) -> Result<(), u32> {
        if rate.per_second == 0 {
            return Ok(());
        }
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() > KEPT {
            buckets.retain(|_, bucket| !bucket.is_full_at(rate, now));
        }
        buckets.entry(connection).or_insert_with(|| Bucket::full(rate, now)).take(rate, now)
    }
}
