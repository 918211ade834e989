//! Two SQL engines, one SQL text. Everything that differs between SQLite and PostgreSQL stands in this file and in `migrate`.
//!
//! Callers write one text in the portable subset (`text`, `bigint`, `boolean`; `$1` placeholders; `on conflict`; `returning`).
//! [`Value`] admits only what both drivers encode and [`Record`] only what both decode, so what one engine alone knows does not compile.

use std::{fs::OpenOptions, os::unix::fs::OpenOptionsExt as _, path::Path, str::FromStr, time::Duration};

use futures_util::TryStreamExt as _;
use sqlx::{
    Arguments, AssertSqlSafe, Encode, Executor as _, FromRow, Postgres, SqlSafeStr, SqlStr, Sqlite, Type,
    postgres::{PgArguments, PgConnectOptions, PgPool, PgPoolOptions, PgRow},
    sqlite::{SqliteArguments, SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteRow, SqliteSynchronous},
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

#[derive(Debug, thiserror::Error)]
pub enum DbError {
    #[error("the database address {address:?} is not understood: sqlite://FILE or postgres://… was expected")]
    Address { address: String },
    /// Another transaction was in the way; the same work may succeed when it is done again.
    #[error("the database asks to try again")]
    Transient(#[source] sqlx::Error),
    /// Somebody else has the name already. The transaction can only be given up.
    #[error("a name that must be unique is taken")]
    Taken(#[source] sqlx::Error),
    #[error("the database's file cannot be opened or made: its folder must be there and be writable by this user")]
    File(#[source] sqlx::Error),
    #[error("the database cannot be reached")]
    Unreachable(#[source] sqlx::Error),
    #[error("the database refused a statement")]
    Statement(#[source] sqlx::Error),
    #[error("the database holds {what} that cannot be read: {why}")]
    Corrupt { what: &'static str, why: String },
    #[error("the database's tables could not be brought up to date")]
    Migrate(#[source] sqlx::migrate::MigrateError),
}

impl DbError {
    pub fn corrupt(what: &'static str, why: &(impl ToString + ?Sized)) -> Self {
        Self::Corrupt { what, why: why.to_string() }
    }

    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Transient(_))
    }
}

impl From<sqlx::Error> for DbError {
    fn from(error: sqlx::Error) -> Self {
        // 40001 serialization_failure, 40P01 deadlock_detected, 55P03 lock_not_available; SQLITE_BUSY and its extended codes.
        let transient = error
            .as_database_error()
            .and_then(sqlx::error::DatabaseError::code)
            .is_some_and(|code| matches!(&*code, "40001" | "40P01" | "55P03" | "5" | "261" | "517"));
        // SQLITE_CANTOPEN.
        let cannot_open = error.as_database_error().and_then(sqlx::error::DatabaseError::code).is_some_and(|code| code == "14");
        let taken = error.as_database_error().is_some_and(sqlx::error::DatabaseError::is_unique_violation);
        // Somebody deleted meanwhile what the statement refers to: done again, the work finds that it is gone.
        let transient = transient || error.as_database_error().is_some_and(sqlx::error::DatabaseError::is_foreign_key_violation);
        match error {
            _ if taken => Self::Taken(error),
            _ if transient => Self::Transient(error),
            _ if cannot_open => Self::File(error),
            sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::Tls(_) => Self::Unreachable(error),
            _ => Self::Statement(error),
        }
    }
}

/// The database: on SQLite one writer and a pool of readers, on PostgreSQL one pool.
#[derive(Debug, Clone)]
pub enum Db {
    Sqlite { writer: SqlitePool, readers: SqlitePool },
    Postgres(PgPool),
}

/// A new database file is its owner's alone; SQLite makes the files beside it in the same mode. What goes wrong here, opening says.
fn make_for_owner(path: &Path, address: &str) {
    let is_made = address.split_once("mode=").is_none_or(|(_, mode)| mode.starts_with("rwc"));
    if is_made && !address.contains(":memory:") {
        let _ = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    }
}

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
            let writer =
                SqlitePoolOptions::new().max_connections(1).acquire_timeout(Duration::from_secs(30)).connect_with(options.clone()).await?;
            let readers = SqlitePoolOptions::new().max_connections(size.0).min_connections(0).connect_lazy_with(options.read_only(true));
            Ok(Self::Sqlite { writer, readers })
        } else if address.starts_with("postgres:") || address.starts_with("postgresql:") {
            let options = PgConnectOptions::from_str(address)
                .map_err(|_| refused())?
                .statement_cache_capacity(400)
                .application_name("rolegate")
                .options([
                    ("statement_timeout", "30s"),
                    ("idle_in_transaction_session_timeout", "30s"),
                    ("lock_timeout", "20s"),
                    // Else each start logs that the table of migrations is there already.
                    ("client_min_messages", "warning"),
                ]);
            Ok(Self::Postgres(
                PgPoolOptions::new().max_connections(size.0).acquire_timeout(Duration::from_secs(10)).connect_with(options).await?,
            ))
        } else {
            Err(refused())
        }
    }

    /// Whether the address names a file that is not there yet.
    #[must_use]
    pub fn is_absent(address: &str) -> bool {
        let options = SqliteConnectOptions::from_str(address).ok().filter(|_| address.starts_with("sqlite:"));
        options.is_some_and(|options| !address.contains(":memory:") && !options.get_filename().exists())
    }

    /// Begins the only kind of transaction there is. It must not be cancelled half way (sqlx 0.9.0 could hand the connection back
    /// with the transaction still open): requests run in tasks of their own, which a client that hangs up does not end.
    pub async fn begin(&self) -> Result<Tx, DbError> {
        match self {
            Self::Sqlite { writer, .. } => Ok(Tx::Sqlite(writer.begin_with("begin immediate").await?, Waiting::default())),
            Self::Postgres(pool) => Ok(Tx::Postgres(pool.begin().await?, Waiting::default())),
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
            Self::Postgres(pool) => pool.close().await,
        }
    }
}

/// An open transaction; dropped without [`Tx::commit`], it leaves nothing behind.
#[derive(Debug)]
pub enum Tx {
    Sqlite(sqlx::Transaction<'static, Sqlite>, Waiting),
    Postgres(sqlx::Transaction<'static, Postgres>, Waiting),
}

/// Statements whose answers nobody needs. The way to the database and back costs more than most of them: they go with the next one.
///
/// SQLite, whose driver works in a thread of its own, runs several statements of one text one after another. PostgreSQL takes one at a
/// time, but an `insert` may stand in the `with` of another. Those all see what was there before them, therefore only an `insert` into
/// another table joins them; what they refer to is looked for when all are done.
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

    /// Whether PostgreSQL may run it in one statement with those that wait.
    fn admits(&self, text: &str) -> bool {
        let into = inserts_into(text);
        text.len() <= LONGEST_JOINED && into.is_some() && self.texts.iter().all(|waiting| inserts_into(waiting) != into)
    }

    fn take_sqlite(&mut self) -> (SqlStr, SqliteArguments) {
        let Self { texts, values } = std::mem::take(self);
        (AssertSqlSafe(texts.join("; ")).into_sql_str(), sqlite_arguments(values))
    }

    /// The last one is the statement whose answer counts.
    fn take_postgres(&mut self) -> (SqlStr, PgArguments) {
        let Self { mut texts, values } = std::mem::take(self);
        let last = texts.pop().unwrap_or_default();
        let before: Vec<String> = texts.iter().enumerate().map(|(n, text)| format!("w{n} as ({text})")).collect();
        let text = if before.is_empty() { last } else { format!("with {} {last}", before.join(", ")) };
        (AssertSqlSafe(text).into_sql_str(), postgres_arguments(values))
    }

    async fn run_sqlite(&mut self, tx: &mut sqlx::Transaction<'static, Sqlite>) -> Result<(), DbError> {
        if !self.texts.is_empty() {
            let (text, values) = self.take_sqlite();
            sqlx::query_with(text, values).execute(&mut **tx).await?;
        }
        Ok(())
    }

    async fn run_postgres(&mut self, tx: &mut sqlx::Transaction<'static, Postgres>) -> Result<(), DbError> {
        if !self.texts.is_empty() {
            let (text, values) = self.take_postgres();
            sqlx::query_with(text, values).execute(&mut **tx).await?;
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

    pub async fn commit(self) -> Result<(), DbError> {
        match self {
            Self::Sqlite(mut tx, mut waiting) => {
                waiting.run_sqlite(&mut tx).await?;
                attempt::noted(tx.commit()).await
            }
            Self::Postgres(mut tx, mut waiting) => {
                waiting.run_postgres(&mut tx).await?;
                attempt::noted(tx.commit()).await
            }
        }
    }
}

/// Rows in one set statement; 16 columns of them stay below SQLite's 32,766 and PostgreSQL's 65,535 placeholders.
pub const SET_LIMIT: usize = 2_000;

/// `{…}` repeated, its placeholders numbered on from the highest one.
fn repeat(sql: &str, rows: usize) -> SqlStr {
    assert!((1..=SET_LIMIT).contains(&rows), "a set statement takes 1 to {SET_LIMIT} rows, not {rows}");
    let (head, rest) = sql.split_once('{').expect("a set statement has a group in braces");
    let (group, tail) = rest.split_once('}').expect("the group in braces is closed");
    let pieces: Vec<&str> = group.split('$').map(|piece| piece.trim_start_matches(|c: char| c.is_ascii_digit())).collect();
    let width = pieces.len() - 1;
    let first =
        group.split('$').nth(1).and_then(|piece| piece.split(|c: char| !c.is_ascii_digit()).next()).and_then(|n| n.parse::<usize>().ok());
    let first = first.expect("the group in braces has placeholders");
    let mut text = String::with_capacity(sql.len() + rows * (group.len() + 6 * width));
    text.push_str(head);
    for row in 0..rows {
        if row > 0 {
            text.push_str(", ");
        }
        text.push_str(pieces[0]);
        for (column, piece) in pieces[1..].iter().enumerate() {
            text.push('$');
            text.push_str(&(first + row * width + column).to_string());
            text.push_str(piece);
        }
    }
    text.push_str(tail);
    AssertSqlSafe(text).into_sql_str()
}

/// SQLite keeps a list of the names of placeholders, and `$1` and `?1` are names: both it and the driver go through the list for each
/// value, which makes many of them quadratic. A bare `?` has no name and takes the next value, so that what stands at two places is given
/// twice, and statements can follow one another in one text.
fn placed(text: &str, values: Vec<Value>) -> (String, Vec<Value>) {
    let mut places = Vec::with_capacity(values.len());
    let bare = rewritten(text, |bare, place| {
        places.push(place);
        bare.push('?');
    });
    if places.iter().copied().eq(1..=values.len()) {
        return (bare, values);
    }
    let values = places.into_iter().map(|place| values[place - 1].clone()).collect();
    (bare, values)
}

/// The statement with its placeholders numbered after those of others.
fn renumbered(text: &str, after: usize) -> String {
    rewritten(text, |text, place| {
        text.push('$');
        text.push_str(&(place + after).to_string());
    })
}

/// The statement with what `write` puts at the place of each `$1`.
fn rewritten(text: &str, mut write: impl FnMut(&mut String, usize)) -> String {
    let mut pieces = text.split('$');
    let mut written = String::with_capacity(text.len() + 16);
    written.push_str(pieces.next().unwrap_or_default());
    for piece in pieces {
        let digits = piece.find(|c: char| !c.is_ascii_digit()).unwrap_or(piece.len());
        write(&mut written, piece[..digits].parse().expect("a placeholder is `$` and a number"));
        written.push_str(&piece[digits..]);
    }
    written
}

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
    SqliteTx(&'t mut sqlx::Transaction<'static, Sqlite>, SqlStr, SqliteArguments),
    SqliteReaders(&'t SqlitePool, SqlStr, SqliteArguments),
    SqliteWriter(&'t SqlitePool, SqlStr, SqliteArguments),
    PostgresTx(&'t mut sqlx::Transaction<'static, Postgres>, SqlStr, PgArguments),
    Postgres(&'t PgPool, SqlStr, PgArguments),
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
            Target::Tx(Tx::Sqlite(tx, waiting)) => {
                let (text, values) = placed(self.sql.as_str(), self.values);
                if text.len() > LONGEST_JOINED {
                    waiting.run_sqlite(tx).await?;
                }
                waiting.push(text, values);
                let (text, values) = waiting.take_sqlite();
                Ready::SqliteTx(tx, text, values)
            }
            Target::Pool(Db::Sqlite { readers, writer }) => {
                let (text, values) = placed(self.sql.as_str(), self.values);
                let (text, values) = (AssertSqlSafe(text).into_sql_str(), sqlite_arguments(values));
                if writes { Ready::SqliteWriter(writer, text, values) } else { Ready::SqliteReaders(readers, text, values) }
            }
            Target::Tx(Tx::Postgres(tx, waiting)) => {
                if !waiting.admits(self.sql.as_str()) {
                    waiting.run_postgres(tx).await?;
                }
                if waiting.texts.is_empty() {
                    return Ok(Ready::PostgresTx(tx, self.sql, postgres_arguments(self.values)));
                }
                waiting.push(renumbered(self.sql.as_str(), waiting.values.len()), self.values);
                let (text, values) = waiting.take_postgres();
                Ready::PostgresTx(tx, text, values)
            }
            Target::Pool(Db::Postgres(pool)) => Ready::Postgres(pool, self.sql, postgres_arguments(self.values)),
        })
    }

    pub async fn optional<R: Record>(self) -> Result<Option<R>, DbError> {
        Ok(match self.ready(false).await? {
            Ready::SqliteTx(tx, sql, values) => sqlx::query_as_with(sql, values).fetch_optional(&mut **tx).await?,
            Ready::SqliteReaders(pool, sql, values) | Ready::SqliteWriter(pool, sql, values) => {
                sqlx::query_as_with(sql, values).fetch_optional(pool).await?
            }
            Ready::PostgresTx(tx, sql, values) => sqlx::query_as_with(sql, values).fetch_optional(&mut **tx).await?,
            Ready::Postgres(pool, sql, values) => sqlx::query_as_with(sql, values).fetch_optional(pool).await?,
        })
    }

    pub async fn all<R: Record>(self) -> Result<Vec<R>, DbError> {
        Ok(match self.ready(false).await? {
            Ready::SqliteTx(tx, sql, values) => sqlx::query_as_with(sql, values).fetch_all(&mut **tx).await?,
            Ready::SqliteReaders(pool, sql, values) | Ready::SqliteWriter(pool, sql, values) => {
                sqlx::query_as_with(sql, values).fetch_all(pool).await?
            }
            Ready::PostgresTx(tx, sql, values) => sqlx::query_as_with(sql, values).fetch_all(&mut **tx).await?,
            Ready::Postgres(pool, sql, values) => sqlx::query_as_with(sql, values).fetch_all(pool).await?,
        })
    }

    /// Runs the statement; how many rows it touched.
    pub async fn run(self) -> Result<u64, DbError> {
        Ok(match self.ready(true).await? {
            Ready::SqliteTx(tx, sql, values) => {
                // What waited says how many rows it touched too; the last count is this statement's.
                let counts = (&mut **tx).execute_many(sqlx::query_with(sql, values));
                counts.try_fold(0, async |_, done| Ok(done.rows_affected())).await?
            }
            Ready::SqliteReaders(pool, sql, values) | Ready::SqliteWriter(pool, sql, values) => {
                sqlx::query_with(sql, values).execute(pool).await?.rows_affected()
            }
            Ready::PostgresTx(tx, sql, values) => sqlx::query_with(sql, values).execute(&mut **tx).await?.rows_affected(),
            Ready::Postgres(pool, sql, values) => sqlx::query_with(sql, values).execute(pool).await?.rows_affected(),
        })
    }

    /// Runs the statement before the next one of its transaction, or when that commits; what it refuses is said there. For a write of
    /// which nobody asks how many rows it touched, and which no caller turns into an error of its own.
    pub async fn later(self) -> Result<(), DbError> {
        let is_short = self.sql.as_str().len() <= LONGEST_JOINED;
        match self.target {
            Target::Tx(Tx::Sqlite(_, waiting)) if is_short => {
                let (text, values) = placed(self.sql.as_str(), self.values);
                waiting.push(text, values);
            }
            Target::Tx(Tx::Postgres(tx, waiting)) if is_short && inserts_into(self.sql.as_str()).is_some() => {
                if !waiting.admits(self.sql.as_str()) {
                    waiting.run_postgres(tx).await?;
                }
                waiting.push(renumbered(self.sql.as_str(), waiting.values.len()), self.values);
            }
            _ => return self.run().await.map(drop),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_repeated_and_numbered_on() {
        assert_eq!(repeat("insert into t (a, b) values {($1, $2)}", 2).as_str(), "insert into t (a, b) values ($1, $2), ($3, $4)");
        assert_eq!(
            repeat("update t set a = $2 where tenant = $1 and a <> $2 and id in ({$3}) order by id", 2).as_str(),
            "update t set a = $2 where tenant = $1 and a <> $2 and id in ($3, $4) order by id"
        );
    }
}
