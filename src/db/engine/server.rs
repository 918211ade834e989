//! Connections to a PostgreSQL server: a pool, of which transactions take a part only, and one connection apart from it for probes.
//!
//! Transactions wait for locks, readings do not. A lock that somebody holds for long may keep every transaction waiting (each at most
//! [`LOCK_TIMEOUT`]), and readings go on all the same, because the rest of the pool is theirs.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use sqlx::{
    Connection as _, PgConnection, Postgres,
    postgres::{PgConnectOptions, PgPool, PgPoolOptions},
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

use super::DbError;

/// How long a request waits for a connection.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a statement waits for a lock: shorter than [`PATIENCE`], so that who waits for a connection gets one.
const LOCK_TIMEOUT: &str = "5s";
/// A connection that was in use so shortly ago is not asked whether it still works: that would be a round trip before each request.
const REST: Duration = Duration::from_secs(1);
/// How long a probe may take, from connecting to the commit.
const PROBE: Duration = Duration::from_millis(1400);

#[derive(Debug, Clone)]
pub struct Server(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    pool: PgPool,
    options: PgConnectOptions,
    transactions: Arc<Semaphore>,
    stale: Stale,
    /// The connection of [`Server::probe`]; `None` while it is in use.
    apart: Mutex<Option<PgConnection>>,
}

/// Since when connections are replaced. After a failover, a connection may lead to a server that takes no writes any more: whatever was
/// opened before such an answer is closed instead of lent again.
#[derive(Debug, Clone, Default)]
struct Stale(Arc<Mutex<Option<Instant>>>);

impl Stale {
    fn note(&self, error: &sqlx::Error) {
        // read_only_sql_transaction
        if error.as_database_error().is_some_and(|error| error.code().is_some_and(|code| code == "25006")) {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        }
    }

    /// Whether a connection of that age was opened before.
    fn covers(&self, age: Duration) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|since| age > since.elapsed())
    }
}

/// How many of `most` connections transactions may take.
fn for_transactions(most: u32) -> u32 {
    if most <= 1 { most } else { most - (most / 5).max(1) }
}

impl Server {
    pub(super) async fn connect(options: PgConnectOptions, most: u32) -> Result<Self, sqlx::Error> {
        let options = options.statement_cache_capacity(400).application_name("rolegate").options([
            ("statement_timeout", "30s"),
            ("idle_in_transaction_session_timeout", "30s"),
            ("lock_timeout", LOCK_TIMEOUT),
            // Else each start logs that the table of migrations is there already.
            ("client_min_messages", "warning"),
        ]);
        let stale = Stale::default();
        let replaced = stale.clone();
        let pool = PgPoolOptions::new()
            .max_connections(most)
            .acquire_timeout(PATIENCE)
            .test_before_acquire(false)
            .before_acquire(move |connection, use_so_far| {
                let replaced = replaced.clone();
                Box::pin(async move {
                    if replaced.covers(use_so_far.age) {
                        return Ok(false);
                    }
                    if use_so_far.idle_for > REST {
                        connection.ping().await?;
                    }
                    Ok(true)
                })
            })
            .connect_with(options.clone())
            .await?;
        let transactions = Arc::new(Semaphore::new(for_transactions(most) as usize));
        Ok(Self(Arc::new(Parts { pool, options, transactions, stale, apart: Mutex::default() })))
    }

    #[must_use]
    pub fn pool(&self) -> &PgPool {
        &self.0.pool
    }

    pub(super) async fn begin(&self) -> Result<(sqlx::Transaction<'static, Postgres>, Lease), DbError> {
        let turn = tokio::time::timeout(PATIENCE, self.0.transactions.clone().acquire_owned()).await;
        let turn = turn.map_err(|_| sqlx::Error::PoolTimedOut)?.map_err(|_| sqlx::Error::PoolClosed)?;
        let tx = self.note(self.0.pool.begin().await)?;
        Ok((tx, Lease { server: self.clone(), _turn: turn }))
    }

    /// Remembers what an answer says of the connections. All that asks the server goes through here.
    pub(super) fn note<T>(&self, outcome: Result<T, sqlx::Error>) -> Result<T, sqlx::Error> {
        outcome.inspect_err(|error| self.0.stale.note(error))
    }

    /// Does some work on the connection apart from the pool, in bounded time. One that is not given back was cut off in the middle.
    pub(in crate::db) async fn probe<T>(
        &self,
        work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T, sqlx::Error> {
        let probing = async {
            let kept = self.apart().take();
            let mut connection = match kept {
                Some(connection) => connection,
                None => PgConnection::connect_with(&self.0.options).await?,
            };
            let done = work(&mut connection).await?;
            *self.apart() = Some(connection);
            Ok(done)
        };
        self.note(tokio::time::timeout(PROBE, probing).await.unwrap_or(Err(sqlx::Error::PoolTimedOut)))
    }

    fn apart(&self) -> std::sync::MutexGuard<'_, Option<PgConnection>> {
        self.0.apart.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) async fn close(&self) {
        self.0.pool.close().await;
        let apart = self.apart().take();
        if let Some(connection) = apart {
            // The server finds the end of the connection either way.
            let _ = connection.close().await;
        }
    }
}

/// The share of the pool that an open transaction holds, beside its connection.
#[derive(Debug)]
pub struct Lease {
    server: Server,
    _turn: OwnedSemaphorePermit,
}

impl Lease {
    pub(super) fn note<T>(&self, outcome: Result<T, sqlx::Error>) -> Result<T, sqlx::Error> {
        self.server.note(outcome)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readings_have_a_part_of_every_pool_of_two_or_more() {
        assert_eq!([1, 2, 4, 5, 10, 100].map(for_transactions), [1, 1, 3, 4, 8, 80]);
    }

    #[tokio::test]
    async fn what_was_opened_before_a_read_only_answer_is_replaced() {
        let stale = Stale::default();
        assert!(!stale.covers(Duration::from_secs(9)));
        *stale.0.lock().unwrap() = Some(Instant::now());
        assert!(stale.covers(Duration::from_secs(9)) && !stale.covers(Duration::ZERO));
    }
}
