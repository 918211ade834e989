//! Two SQL engines, one SQL text. Everything that differs between SQLite and PostgreSQL stands in this file and in `migrate`.
//!
//! Callers write one text in the portable subset (`text`, `bigint`, `boolean`; `$1` placeholders; `on conflict`; `returning`).
//! [`Value`] admits only what both drivers encode and [`Record`] only what both decode, so what one engine alone knows does not compile.

mod error;
mod file;
mod server;
mod sqlite;
mod text;

use std::{fs::OpenOptions, os::unix::fs::OpenOptionsExt as _, path::Path, str::FromStr, time::Duration};

use sqlx::{
    Arguments, AssertSqlSafe, Encode, FromRow, Postgres, SqlSafeStr, SqlStr, Type,
    postgres::{PgArguments, PgConnectOptions, PgRow},
    sqlite::{SqliteArguments, SqliteConnectOptions, SqliteJournalMode, SqliteRow, SqliteSynchronous},
};

pub use self::error::DbError;
use self::{
    file::{Connections, Place},
    server::{Lease, Server},
    sqlite::{SqliteTx, Ticket},
    text::{placed, renumbered, repeat},
};
use super::attempt;

/// A value that both drivers can encode; one that is absent keeps its type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    Text(Option<String>),
    Integer(Option<i64>),
    Boolean(Option<bool>),
}

macro_rules! values {
    ($($variant:ident: $type:ty),+ $(,)?) => {$(
        impl From<$type> for Value {
            fn from(value: $type) -> Self {
                Self::$variant(Some(value.into()))
            }
        }
        impl From<Option<$type>> for Value {
            fn from(value: Option<$type>) -> Self {
                Self::$variant(value.map(Into::into))
            }
        }
    )+};
}

values!(Text: String, Text: &String, Text: &str, Integer: i64, Integer: i32, Integer: u32, Boolean: bool);

/// A row that both drivers can decode.
pub trait Record: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin {}
impl<T: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin> Record for T {}

/// The database: on SQLite one writer and a pool of readers, on PostgreSQL one pool.
#[derive(Debug, Clone)]
pub enum Db {
    Sqlite { writer: Connections, readers: Connections },
    Postgres(Server),
}

fn is_in_memory(address: &str) -> bool {
    address.contains(":memory:") || address.contains("mode=memory")
}

/// A new database file is its owner's alone; SQLite makes the files beside it in the same mode. What goes wrong here, opening says.
fn make_for_owner(path: &Path, address: &str) {
    let is_made = address.split_once("mode=").is_none_or(|(_, mode)| mode.starts_with("rwc"));
    if is_made && !is_in_memory(address) {
        let _ = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    }
}

/// 8 MB of pages at most for each connection that reads, taken as they are needed: as many as the inner pages of the indexes over some hundred
/// thousand accounts. With SQLite's own 2 MB, each look-up among so many reads those again.
const READER_CACHE: &str = "-8000";

/// How many connections are held: readers on SQLite, all on PostgreSQL.
#[derive(Debug, Clone, Copy)]
pub struct PoolSize(pub u32);

impl Db {
    /// Opens `sqlite://FILE` (made when absent) or `postgres://…`.
    pub async fn open(address: &str, size: PoolSize) -> Result<Self, DbError> {
        let refused = || DbError::Address { address: address.split('@').next_back().unwrap_or_default().to_owned() };
        if address.starts_with("sqlite:") {
            let options = SqliteConnectOptions::from_str(address)
                .map_err(|_| refused())?
                .create_if_missing(true)
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(SqliteSynchronous::Full)
                .foreign_keys(true)
                .statement_cache_capacity(400)
                .busy_timeout(Duration::from_secs(10));
            make_for_owner(options.get_filename(), address);
            let reading = options.clone().read_only(true).pragma("cache_size", READER_CACHE);
            let place = Place::new((!is_in_memory(address)).then(|| options.get_filename().to_owned()));
            let (writer, readers) = (Connections::new(options, 1, place.clone()), Connections::new(reading, size.0, place));
            // Opening the file here reports what is wrong with it.
            drop(writer.acquire().await?);
            Ok(Self::Sqlite { writer, readers })
        } else if address.starts_with("postgres:") || address.starts_with("postgresql:") {
            let options = PgConnectOptions::from_str(address).map_err(|_| refused())?;
            Ok(Self::Postgres(Server::connect(options, size.0).await?))
        } else {
            Err(refused())
        }
    }

    /// Whether the address names a file that is not there yet.
    #[must_use]
    pub fn is_absent(address: &str) -> bool {
        let options = SqliteConnectOptions::from_str(address).ok().filter(|_| address.starts_with("sqlite:"));
        options.is_some_and(|options| !is_in_memory(address) && !options.get_filename().exists())
    }

    /// Begins the only kind of transaction there is. It must not be cancelled half way (sqlx 0.9.0 could hand a connection to PostgreSQL
    /// back with the transaction still open): requests run in tasks of their own, which a client that hangs up does not end.
    pub async fn begin(&self) -> Result<Tx, DbError> {
        match self {
            Self::Sqlite { writer, .. } => Ok(Tx::Sqlite(SqliteTx::begin(writer).await?)),
            Self::Postgres(server) => {
                let (tx, lease) = server.begin().await?;
                Ok(Tx::Postgres(tx, Waiting::default(), lease))
            }
        }
    }

    /// A statement outside any transaction, for reading.
    pub fn query(&self, sql: &'static str) -> Query<'_> {
        Query::new(Target::Pool(self), sql.into_sql_str())
    }

    /// As [`Tx::query_set`], for reading.
    pub fn query_set(&self, sql: &'static str, rows: usize) -> Query<'_> {
        Query::new(Target::Pool(self), repeat(sql, rows))
    }

    pub(super) fn query_built(&self, sql: String) -> Query<'_> {
        Target::Pool(self).query_built(sql)
    }

    #[must_use]
    pub fn is_sqlite(&self) -> bool {
        matches!(self, Self::Sqlite { .. })
    }

    pub async fn close(&self) {
        match self {
            Self::Sqlite { writer, readers } => {
                readers.close().await;
                writer.close().await;
            }
            Self::Postgres(server) => server.close().await,
        }
    }
}

/// An open transaction; dropped without [`Tx::commit`], it leaves nothing behind.
#[derive(Debug)]
pub enum Tx {
    Sqlite(SqliteTx),
    Postgres(sqlx::Transaction<'static, Postgres>, Waiting, Lease),
}

/// Statements whose answers nobody needs, on PostgreSQL. It takes one at a time, but an `insert` may stand in the `with` of another. Those
/// all see what was there before them, therefore only an `insert` into another table joins them; what they refer to is looked for when
/// all are done.
#[derive(Debug, Default)]
pub struct Waiting {
    texts: Vec<String>,
    /// One after another.
    values: Vec<Value>,
}

/// A text that is longer goes alone: it is one of many that differ in length, and prepared texts are kept by their whole.
const LONGEST_JOINED: usize = 4_096;

/// Into which table, where the statement does nothing but insert what it is given.
fn inserts_into(text: &str) -> Option<&str> {
    text.strip_prefix("insert into ").filter(|text| !text.contains("select"))?.split([' ', '(']).next()
}

impl Waiting {
    fn push(&mut self, text: String, values: Vec<Value>) {
        self.texts.push(text);
        self.values.extend(values);
    }

    /// Whether it may run in one statement with those that wait.
    fn admits(&self, text: &str) -> bool {
        let into = inserts_into(text);
        text.len() <= LONGEST_JOINED && into.is_some() && self.texts.iter().all(|waiting| inserts_into(waiting) != into)
    }

    /// The last one is the statement whose answer counts.
    fn take(&mut self) -> (SqlStr, PgArguments) {
        let Self { mut texts, values } = std::mem::take(self);
        let last = texts.pop().unwrap_or_default();
        let before: Vec<String> = texts.iter().enumerate().map(|(n, text)| format!("w{n} as ({text})")).collect();
        let text = if before.is_empty() { last } else { format!("with {} {last}", before.join(", ")) };
        (AssertSqlSafe(text).into_sql_str(), postgres_arguments(values))
    }

    async fn run(&mut self, tx: &mut sqlx::Transaction<'static, Postgres>, lease: &Lease) -> Result<(), DbError> {
        if !self.texts.is_empty() {
            let (text, values) = self.take();
            lease.note(sqlx::query_with(text, values).execute(&mut **tx).await)?;
        }
        Ok(())
    }
}

impl Tx {
    pub fn query(&mut self, sql: &'static str) -> Query<'_> {
        Query::new(Target::Tx(self), sql.into_sql_str())
    }

    /// A `select` whose rows stay locked until the end: `for update` on PostgreSQL; on SQLite the writer is alone anyway.
    pub fn lock(&mut self, sql: &'static str) -> Query<'_> {
        let sql = match self {
            Self::Sqlite(..) => sql.into_sql_str(),
            Self::Postgres(..) => AssertSqlSafe(format!("{sql} for update")).into_sql_str(),
        };
        Query::new(Target::Tx(self), sql)
    }

    /// A `select` whose rows nobody deletes, or locks by [`Tx::lock`], until the end. Others may share them, and update what is no key.
    pub fn share(&mut self, sql: &'static str) -> Query<'_> {
        let sql = match self {
            Self::Sqlite(..) => sql.into_sql_str(),
            Self::Postgres(..) => AssertSqlSafe(format!("{sql} for key share")).into_sql_str(),
        };
        Query::new(Target::Tx(self), sql)
    }

    /// A statement over a set: the one group `{($1, $2)}` in the text is repeated `rows` times, numbered on, separated by commas.
    /// Placeholders outside the group keep their numbers and are bound first. At most [`SET_LIMIT`] rows: chunk longer sets.
    pub fn query_set(&mut self, sql: &'static str, rows: usize) -> Query<'_> {
        Query::new(Target::Tx(self), repeat(sql, rows))
    }

    /// As [`Tx::query_set`], and locks like [`Tx::lock`].
    pub fn lock_set(&mut self, sql: &'static str, rows: usize) -> Query<'_> {
        let suffix = if matches!(self, Self::Postgres(..)) { " for update" } else { "" };
        let sql = AssertSqlSafe(format!("{}{suffix}", repeat(sql, rows).as_str())).into_sql_str();
        Query::new(Target::Tx(self), sql)
    }

    /// Whether nobody else writes until this ends, so that what was read in it stays true: the one writer of SQLite.
    #[must_use]
    pub fn is_alone(&self) -> bool {
        matches!(self, Self::Sqlite(..))
    }

    /// Runs what waits, for who has an answer of their own to what it refuses.
    pub async fn settle(&mut self) -> Result<(), DbError> {
        match self {
            Self::Sqlite(tx) => tx.settle().await,
            Self::Postgres(tx, waiting, lease) => waiting.run(tx, lease).await,
        }
    }

    pub async fn commit(self) -> Result<(), DbError> {
        if attempt::is_rehearsal() {
            return Err(DbError::Rehearsed);
        }
        match self {
            Self::Sqlite(tx) => tx.commit().await,
            Self::Postgres(mut tx, mut waiting, lease) => {
                waiting.run(&mut tx, &lease).await?;
                attempt::noted(async { (lease.note(tx.commit().await).map_err(DbError::from), true) }).await
            }
        }
    }
}

/// Rows in one set statement; 16 columns of them stay below SQLite's 32,766 and PostgreSQL's 65,535 placeholders.
pub const SET_LIMIT: usize = 2_000;

/// Where a statement runs. What only reads takes `impl Into<Target<'_>>` and is asked with `db` or, inside a transaction, `&mut *tx`.
pub enum Target<'t> {
    Tx(&'t mut Tx),
    Pool(&'t Db),
}

impl<'t> From<&'t mut Tx> for Target<'t> {
    fn from(tx: &'t mut Tx) -> Self {
        Self::Tx(tx)
    }
}

impl<'t> From<&'t Db> for Target<'t> {
    fn from(db: &'t Db) -> Self {
        Self::Pool(db)
    }
}

impl<'t> Target<'t> {
    /// The same place for one statement more.
    pub fn again(&mut self) -> Target<'_> {
        match self {
            Self::Tx(tx) => Target::Tx(tx),
            Self::Pool(db) => Target::Pool(db),
        }
    }

    pub fn query(&mut self, sql: &'static str) -> Query<'_> {
        match self {
            Self::Tx(tx) => tx.query(sql),
            Self::Pool(db) => db.query(sql),
        }
    }

    /// As [`Tx::query_set`].
    pub fn query_set(&mut self, sql: &'static str, rows: usize) -> Query<'_> {
        match self {
            Self::Tx(tx) => tx.query_set(sql, rows),
            Self::Pool(db) => db.query_set(sql, rows),
        }
    }

    pub(super) fn query_built(self, sql: String) -> Query<'t> {
        Query::new(self, AssertSqlSafe(sql).into_sql_str())
    }
}

fn sqlite_arguments(values: Vec<Value>) -> SqliteArguments {
    let mut arguments = SqliteArguments::default();
    for value in values {
        add(&mut arguments, value);
    }
    arguments
}

fn postgres_arguments(values: Vec<Value>) -> PgArguments {
    let mut arguments = PgArguments::default();
    for value in values {
        add(&mut arguments, value);
    }
    arguments
}

fn add<A: Arguments>(arguments: &mut A, value: Value)
where
    Option<String>: for<'q> Encode<'q, A::Database> + Type<A::Database>,
    Option<i64>: for<'q> Encode<'q, A::Database> + Type<A::Database>,
    Option<bool>: for<'q> Encode<'q, A::Database> + Type<A::Database>,
{
    let added = match value {
        Value::Text(value) => arguments.add(value),
        Value::Integer(value) => arguments.add(value),
        Value::Boolean(value) => arguments.add(value),
    };
    added.expect("texts, numbers and truth values are always encoded");
}

/// A statement with its values, ready to run.
#[must_use]
pub struct Query<'t> {
    target: Target<'t>,
    sql: SqlStr,
    values: Vec<Value>,
}

/// A statement as its driver takes it, and where it runs.
enum Ready<'t> {
    SqliteTx(&'t mut SqliteTx, String, Vec<Value>),
    Sqlite(&'t Connections, SqlStr, SqliteArguments),
    PostgresTx(&'t mut sqlx::Transaction<'static, Postgres>, &'t Lease, SqlStr, PgArguments),
    Postgres(&'t Server, SqlStr, PgArguments),
}

impl<'t> Query<'t> {
    fn new(target: Target<'t>, sql: SqlStr) -> Self {
        Self { target, sql, values: Vec::new() }
    }

    pub fn bind(mut self, value: impl Into<Value>) -> Self {
        self.values.push(value.into());
        self
    }

    /// With what waited for it before it.
    async fn ready(self, writes: bool) -> Result<Ready<'t>, DbError> {
        Ok(match self.target {
            Target::Tx(Tx::Sqlite(tx)) => {
                let (text, values) = placed(self.sql.as_str(), self.values);
                if text.len() > LONGEST_JOINED {
                    tx.settle().await?;
                }
                Ready::SqliteTx(tx, text, values)
            }
            Target::Pool(Db::Sqlite { readers, writer }) => {
                let (text, values) = placed(self.sql.as_str(), self.values);
                Ready::Sqlite(if writes { writer } else { readers }, AssertSqlSafe(text).into_sql_str(), sqlite_arguments(values))
            }
            Target::Tx(Tx::Postgres(tx, waiting, lease)) => {
                if !waiting.admits(self.sql.as_str()) {
                    waiting.run(tx, lease).await?;
                }
                if waiting.texts.is_empty() {
                    return Ok(Ready::PostgresTx(tx, lease, self.sql, postgres_arguments(self.values)));
                }
                waiting.push(renumbered(self.sql.as_str(), waiting.values.len()), self.values);
                let (text, values) = waiting.take();
                Ready::PostgresTx(tx, lease, text, values)
            }
            Target::Pool(Db::Postgres(server)) => Ready::Postgres(server, self.sql, postgres_arguments(self.values)),
        })
    }

    pub async fn optional<R: Record>(self) -> Result<Option<R>, DbError> {
        Ok(match self.ready(false).await? {
            Ready::SqliteTx(tx, text, values) => tx.run(text, values).await?.0.first().map(R::from_row).transpose()?,
            Ready::Sqlite(file, sql, values) => file.run(sql, values).await?.0.first().map(R::from_row).transpose()?,
            Ready::PostgresTx(tx, lease, sql, values) => lease.note(sqlx::query_as_with(sql, values).fetch_optional(&mut **tx).await)?,
            Ready::Postgres(server, sql, values) => server.note(sqlx::query_as_with(sql, values).fetch_optional(server.pool()).await)?,
        })
    }

    pub async fn all<R: Record>(self) -> Result<Vec<R>, DbError> {
        Ok(match self.ready(false).await? {
            Ready::SqliteTx(tx, text, values) => decoded(&tx.run(text, values).await?.0)?,
            Ready::Sqlite(file, sql, values) => decoded(&file.run(sql, values).await?.0)?,
            Ready::PostgresTx(tx, lease, sql, values) => lease.note(sqlx::query_as_with(sql, values).fetch_all(&mut **tx).await)?,
            Ready::Postgres(server, sql, values) => server.note(sqlx::query_as_with(sql, values).fetch_all(server.pool()).await)?,
        })
    }

    /// Runs the statement; how many rows it touched.
    pub async fn run(self) -> Result<u64, DbError> {
        Ok(match self.ready(true).await? {
            Ready::SqliteTx(tx, text, values) => tx.run(text, values).await?.1,
            Ready::Sqlite(file, sql, values) => file.run(sql, values).await?.1,
            Ready::PostgresTx(tx, lease, sql, values) => {
                lease.note(sqlx::query_with(sql, values).execute(&mut **tx).await)?.rows_affected()
            }
            Ready::Postgres(server, sql, values) => {
                server.note(sqlx::query_with(sql, values).execute(server.pool()).await)?.rows_affected()
            }
        })
    }

    /// Runs the statement before the next one of its transaction, or when that commits; what it refuses is said there. For a write of
    /// which nobody asks how many rows it touched, and which no caller turns into an error of its own.
    pub async fn later(self) -> Result<(), DbError> {
        let is_short = self.sql.as_str().len() <= LONGEST_JOINED;
        match self.target {
            Target::Tx(Tx::Sqlite(tx)) if is_short => {
                let (text, values) = placed(self.sql.as_str(), self.values);
                tx.later(text, values);
            }
            Target::Tx(Tx::Postgres(tx, waiting, lease)) if is_short && inserts_into(self.sql.as_str()).is_some() => {
                if !waiting.admits(self.sql.as_str()) {
                    waiting.run(tx, lease).await?;
                }
                waiting.push(renumbered(self.sql.as_str(), waiting.values.len()), self.values);
            }
            _ => return self.run().await.map(drop),
        }
        Ok(())
    }

    /// Asks, and does not wait: the answer is there at the latest when it is fetched, and is of the moment at which it was asked.
    pub async fn ahead<R: Record>(self) -> Result<Ahead<R>, DbError> {
        let is_short = self.sql.as_str().len() <= LONGEST_JOINED;
        match self.target {
            Target::Tx(Tx::Sqlite(tx)) if is_short => {
                let (text, values) = placed(self.sql.as_str(), self.values);
                Ok(Ahead(Answer::Outstanding(tx.ahead(text, values))))
            }
            _ => Ok(Ahead(Answer::Here(self.all().await?))),
        }
    }
}

/// The rows that were asked for before they were needed.
#[must_use]
pub struct Ahead<R>(Answer<R>);

enum Answer<R> {
    Outstanding(Ticket),
    Here(Vec<R>),
}

impl<R: Record> Ahead<R> {
    /// In the transaction in which it was asked.
    pub async fn fetch(self, tx: &mut Tx) -> Result<Vec<R>, DbError> {
        match (self.0, tx) {
            (Answer::Here(rows), _) => Ok(rows),
            (Answer::Outstanding(ticket), Tx::Sqlite(tx)) => decoded(&tx.fetch(ticket).await?),
            (Answer::Outstanding(_), Tx::Postgres(..)) => Err(DbError::misused("it was asked in another transaction")),
        }
    }
}

fn decoded<R: Record>(rows: &[SqliteRow]) -> Result<Vec<R>, DbError> {
    Ok(rows.iter().map(R::from_row).collect::<Result<_, _>>()?)
}
