//! Connections to a database file, which does not go away as a server does: nobody asks one whether it still stands, neither before it is
//! used nor when it is given back. Its driver works in a thread of its own, and each such question is a way there and back.

use std::{
    mem,
    ops::{Deref, DerefMut},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::TryStreamExt as _;
use sqlx::{
    Connection as _, Either, Executor as _, SqlStr, SqliteConnection,
    sqlite::{SqliteArguments, SqliteConnectOptions, SqliteRow},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How long somebody waits until one is free.
const PATIENCE: Duration = Duration::from_secs(30);

/// So many at most, each opened when it is first needed.
#[derive(Debug, Clone)]
pub struct Connections(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    options: SqliteConnectOptions,
    most: u32,
    turns: Arc<Semaphore>,
    /// Those that nobody holds; the one that was used last is the next.
    idle: Mutex<Vec<SqliteConnection>>,
}

impl Shared {
    fn idle(&self) -> impl DerefMut<Target = Vec<SqliteConnection>> + '_ {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connections {
    pub(super) fn new(options: SqliteConnectOptions, most: u32) -> Self {
        let turns = Arc::new(Semaphore::new(most as usize));
        Self(Arc::new(Shared { options, most, turns, idle: Mutex::default() }))
    }

    /// Waits until one is free, in the order in which it was asked.
    pub async fn acquire(&self) -> Result<Held, sqlx::Error> {
        let turn = tokio::time::timeout(PATIENCE, self.0.turns.clone().acquire_owned()).await;
        let turn = turn.map_err(|_| sqlx::Error::PoolTimedOut)?.map_err(|_| sqlx::Error::PoolClosed)?;
        let idle = self.0.idle().pop();
        let connection = match idle {
            Some(connection) => connection,
            None => SqliteConnection::connect_with(&self.0.options).await?,
        };
        Ok(Held { connection: Some(connection), is_busy: false, of: self.0.clone(), _turn: turn })
    }

    /// One statement on one of them: its rows, and how many it touched.
    pub(super) async fn run(&self, sql: SqlStr, values: SqliteArguments) -> Result<(Vec<SqliteRow>, u64), sqlx::Error> {
        let mut connection = self.acquire().await?;
        let (mut ran, outcome) = connection.run(sql, values).await;
        if outcome.is_err() && connection.ping().await.is_err() {
            connection.discard();
        }
        outcome.map(|()| (ran.rows.pop().unwrap_or_default(), ran.touched))
    }

    /// Waits for those that are held.
    pub async fn close(&self) {
        let all = self.0.turns.acquire_many(self.0.most).await;
        self.0.turns.close();
        drop(all);
        let idle = mem::take(&mut *self.0.idle());
        for connection in idle {
            // What was committed is in the file, whatever the last words are.
            let _ = connection.close().await;
        }
    }
}

/// A connection in one's own hands; dropped, it is given back. One that was left in the middle of a statement goes on with it until that
/// has an end: the next would wait for it, and it is given up.
#[derive(Debug)]
pub struct Held {
    /// `None` once it was given up.
    connection: Option<SqliteConnection>,
    is_busy: bool,
    of: Arc<Shared>,
    _turn: OwnedSemaphorePermit,
}

/// What came of statements that follow one another in one text.
#[derive(Default)]
pub(super) struct Ran {
    /// Of each that ran to its end.
    pub rows: Vec<Vec<SqliteRow>>,
    /// How many rows the last of them changed.
    pub touched: u64,
}

impl Held {
    /// Stops at the first one that is refused.
    pub(super) async fn run(&mut self, sql: SqlStr, values: SqliteArguments) -> (Ran, Result<(), sqlx::Error>) {
        let (mut ran, mut rows) = (Ran::default(), Vec::new());
        self.is_busy = true;
        let mut results = self.fetch_many(sqlx::query_with(sql, values));
        let outcome = loop {
            match results.try_next().await {
                Ok(Some(Either::Right(row))) => rows.push(row),
                Ok(Some(Either::Left(result))) => {
                    ran.touched = result.rows_affected();
                    ran.rows.push(mem::take(&mut rows));
                }
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        drop(results);
        self.is_busy = false;
        (ran, outcome)
    }

    /// Nobody gets it again: another one is opened in its place.
    pub(super) fn discard(mut self) {
        self.connection = None;
    }
}

impl Deref for Held {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        self.connection.as_ref().expect("only who discards it takes it away")
    }
}

impl DerefMut for Held {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        self.connection.as_mut().expect("only who discards it takes it away")
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let connection = self.connection.take().filter(|_| !self.is_busy);
        self.of.idle().extend(connection);
    }
}
