//! Connections to a database file, which does not go away as a server does: nobody asks one whether it still stands, neither before it is
//! used nor when it is given back. Its driver works in a thread of its own, and each such question is a way there and back.

use std::{
    fs, io, mem,
    ops::{Deref, DerefMut},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::TryStreamExt as _;
use sqlx::{
    Connection as _, Either, Executor as _, SqlSafeStr as _, SqlStr, SqliteConnection,
    sqlite::{SqliteArguments, SqliteConnectOptions, SqliteRow},
};
use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore},
};

/// How long somebody waits until one is free.
const PATIENCE: Duration = Duration::from_secs(30);

/// The database's file, known by its device and inode once it was opened: SQLite goes on writing into a file that was deleted or
/// replaced, and nobody finds what it wrote.
#[derive(Debug, Clone)]
pub(super) struct Place(Arc<PlaceParts>);

#[derive(Debug)]
struct PlaceParts {
    /// `None` for a database in memory.
    path: Option<PathBuf>,
    identity: OnceLock<(u64, u64)>,
}

impl Place {
    pub(super) fn new(path: Option<PathBuf>) -> Self {
        Self(Arc::new(PlaceParts { path, identity: OnceLock::new() }))
    }

    /// Remembers which file was opened.
    fn remember(&self) {
        if self.0.identity.get().is_some() {
            return;
        }
        if let Some(found) = self.0.path.as_deref().and_then(|path| identify(path).ok()) {
            let _ = self.0.identity.set(found);
        }
    }

    /// # Errors
    /// When the file at the path is not the one that was opened.
    fn check(&self) -> Result<(), sqlx::Error> {
        let (Some(path), Some(opened)) = (&self.0.path, self.0.identity.get()) else { return Ok(()) };
        let how = match identify(path) {
            Ok(found) if found == *opened => return Ok(()),
            Ok(_) => "replaced",
            Err(_) => "deleted",
        };
        let what = format!("{} was {how} while it was open: put the file back, then restart the gateway", path.display());
        Err(io::Error::new(io::ErrorKind::NotFound, what).into())
    }
}

fn identify(path: &Path) -> io::Result<(u64, u64)> {
    fs::metadata(path).map(|metadata| (metadata.dev(), metadata.ino()))
}

/// So many at most, each opened when it is first needed.
#[derive(Debug, Clone)]
pub struct Connections(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    options: SqliteConnectOptions,
    place: Place,
    most: u32,
    turns: Arc<Semaphore>,
    is_closed: AtomicBool,
    /// Those that nobody holds; the one that was used last is the next.
    idle: Mutex<Vec<SqliteConnection>>,
}

impl Shared {
    fn idle(&self) -> impl DerefMut<Target = Vec<SqliteConnection>> + '_ {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check_open(&self) -> Result<(), sqlx::Error> {
        if self.is_closed.load(Ordering::Acquire) { Err(sqlx::Error::PoolClosed) } else { Ok(()) }
    }
}

impl Connections {
    pub(super) fn new(options: SqliteConnectOptions, most: u32, place: Place) -> Self {
        let turns = Arc::new(Semaphore::new(most as usize));
        Self(Arc::new(Shared { options, place, most, turns, is_closed: AtomicBool::new(false), idle: Mutex::default() }))
    }

    /// Waits until one is free, in the order in which it was asked. Who asks the driver past [`Borrowed::run`] must not leave in the middle.
    pub async fn acquire(&self) -> Result<Borrowed, sqlx::Error> {
        self.0.check_open()?;
        let turn = tokio::time::timeout(PATIENCE, self.0.turns.clone().acquire_owned()).await;
        let turn = turn.map_err(|_| sqlx::Error::PoolTimedOut)?.map_err(|_| sqlx::Error::PoolClosed)?;
        self.0.check_open()?;
        // Before a connection is opened: that would make a file in the place of one that is gone.
        self.0.place.check()?;
        let idle = self.0.idle().pop();
        let connection = match idle {
            Some(connection) => connection,
            None => SqliteConnection::connect_with(&self.0.options).await?,
        };
        self.0.place.remember();
        Ok(Borrowed { connection: Some(connection), is_busy: false, of: self.0.clone(), turn: Some(turn) })
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

    /// Lends none from now on, and waits for those that were lent.
    pub async fn close(&self) {
        self.0.is_closed.store(true, Ordering::Release);
        let _all = self.0.turns.acquire_many(self.0.most).await;
        let idle = mem::take(&mut *self.0.idle());
        for connection in idle {
            // What was committed is in the file, whatever the last words are.
            let _ = connection.close().await;
        }
    }
}

/// A connection in one's own hands; dropped, it is given back. One that was left in the middle of a statement goes on with it: it is
/// closed, and until then counts among those that there are.
#[derive(Debug)]
pub struct Borrowed {
    /// `None` once it was given back.
    connection: Option<SqliteConnection>,
    /// A statement has begun and not ended, as far as [`Borrowed::run`] and [`Borrowed::undo`] know.
    is_busy: bool,
    of: Arc<Shared>,
    turn: Option<OwnedSemaphorePermit>,
}

/// What came of statements that follow one another in one text.
#[derive(Default)]
pub(super) struct Ran {
    /// Of each that ran to its end.
    pub rows: Vec<Vec<SqliteRow>>,
    /// How many rows the last of them changed.
    pub touched: u64,
}

impl Borrowed {
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
    fn discard(mut self) {
        self.is_busy = true;
    }

    /// Ends the transaction that was begun on it, before anybody else gets it. It is closed, which undoes it too, where that fails, or no
    /// runtime is left to do it.
    pub(super) fn undo(mut self) {
        self.is_busy = true;
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move {
                let (_, outcome) = self.run("rollback".into_sql_str(), SqliteArguments::default()).await;
                if outcome.is_err() {
                    self.discard();
                }
            });
        }
    }
}

impl Deref for Borrowed {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        self.connection.as_ref().expect("it is taken away when this is dropped")
    }
}

impl DerefMut for Borrowed {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        self.connection.as_mut().expect("it is taken away when this is dropped")
    }
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        if !self.is_busy {
            self.of.idle().push(connection);
        } else if let Ok(runtime) = Handle::try_current() {
            let turn = self.turn.take();
            runtime.spawn(async move {
                let _ = connection.close().await;
                drop(turn);
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::db::{Db, PoolSize};

    /// A second of work, without a row before its end.
    const LONG: &str = "with recursive n (i) as (select 1 union all select i + 1 from n where i < 10000000) select count(*) from n";

    fn connections(folder: &TempDir) -> Connections {
        let options = SqliteConnectOptions::new().filename(folder.path().join("x.db")).create_if_missing(true);
        let place = Place::new(Some(options.get_filename().to_owned()));
        Connections::new(options, 1, place)
    }

    #[tokio::test]
    async fn one_that_was_left_in_the_middle_counts_until_it_has_ended() {
        let folder = TempDir::new().unwrap();
        let connections = connections(&folder);
        let left = tokio::time::timeout(Duration::from_millis(20), connections.run(LONG.into_sql_str(), SqliteArguments::default())).await;
        assert!(left.is_err(), "it takes longer");
        tokio::task::yield_now().await;
        assert_eq!(connections.0.turns.available_permits(), 0);
        assert!(connections.0.idle().is_empty(), "nobody waits behind it");
        let (rows, _) = connections.run("select 1".into_sql_str(), SqliteArguments::default()).await.unwrap();
        assert_eq!(rows.len(), 1);
        assert_eq!((connections.0.turns.available_permits(), connections.0.idle().len()), (1, 1));
    }

    #[tokio::test]
    async fn a_refused_statement_costs_no_connection() {
        let folder = TempDir::new().unwrap();
        let connections = connections(&folder);
        let (rows, _) = connections.run("create temp table here (a)".into_sql_str(), SqliteArguments::default()).await.unwrap();
        assert!(rows.is_empty());
        assert!(connections.run("select nothing from nowhere".into_sql_str(), SqliteArguments::default()).await.is_err());
        // A temporary table is its connection's own.
        connections.run("select a from here".into_sql_str(), SqliteArguments::default()).await.unwrap();
    }

    #[tokio::test]
    async fn closing_lends_none_and_waits_for_what_was_lent() {
        let folder = TempDir::new().unwrap();
        let connections = connections(&folder);
        let lent = connections.acquire().await.unwrap();
        let (waiting, closing) = (connections.clone(), connections.clone());
        let waiting = tokio::spawn(async move { waiting.acquire().await.map(drop) });
        tokio::task::yield_now().await;
        let closing = tokio::spawn(async move { closing.close().await });
        tokio::task::yield_now().await;
        assert!(matches!(connections.acquire().await, Err(sqlx::Error::PoolClosed)), "at once");
        assert!(!closing.is_finished());
        drop(lent);
        closing.await.unwrap();
        assert!(matches!(waiting.await.unwrap(), Err(sqlx::Error::PoolClosed)), "who waited already");
        assert!(connections.0.idle().is_empty());
    }

    #[test]
    fn what_a_runtime_leaves_behind_when_it_ends_is_undone() {
        let folder = TempDir::new().unwrap();
        let first = tokio::runtime::Runtime::new().unwrap();
        let address = format!("sqlite://{}", folder.path().join("x.db").display());
        let (db, tx) = first.block_on(async {
            let db = Db::open(&address, PoolSize(1)).await.unwrap();
            db.query("create table t (a integer)").run().await.unwrap();
            let mut tx = db.begin().await.unwrap();
            tx.query("insert into t values (1)").run().await.unwrap();
            (db, tx)
        });
        first.spawn(async move {
            let _tx = tx;
            std::future::pending::<()>().await;
        });
        drop(first);
        tokio::runtime::Runtime::new().unwrap().block_on(async {
            assert_eq!(db.query("insert into t values (2)").run().await.unwrap(), 1);
            let mut tx = db.begin().await.unwrap();
            tx.query("insert into t values (3)").run().await.unwrap();
            tx.commit().await.unwrap();
            let rows: Vec<(i64,)> = db.query("select a from t order by a").all().await.unwrap();
            assert_eq!(rows, [(2,), (3,)]);
        });
    }
}
