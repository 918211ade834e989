//! Whether the database takes a write, and what time it has.

use sqlx::Connection as _;

use super::engine::{Db, DbError};
use crate::domain::time::Timestamp;

/// Long enough to need new pages: a full file still accepts rows that fit into its existing pages.
const FILLER: usize = 16 * 1024;

const INSERT: &str = "insert into write_probe (id, filler) values ($1, $2)";
const DELETE: &str = "delete from write_probe where id = $1";

/// Writes a row and removes it, as durably as any change. `id` is one that no other probe has. On PostgreSQL it takes less than 1.5
/// seconds, whatever the server does, and no connection of the pool; on SQLite it waits for its turn as every change does.
pub async fn write(db: &Db, id: &str) -> Result<(), DbError> {
    let filler = "x".repeat(FILLER);
    let Db::Postgres(server) = db else {
        let mut tx = db.begin().await?;
        tx.query(INSERT).bind(id).bind(filler).later().await?;
        tx.query(DELETE).bind(id).later().await?;
        return tx.commit().await;
    };
    let work = async |connection: &mut sqlx::PgConnection| {
        let mut tx = connection.begin().await?;
        sqlx::query(INSERT).bind(id).bind(&filler).execute(&mut *tx).await?;
        sqlx::query(DELETE).bind(id).execute(&mut *tx).await?;
        tx.commit().await
    };
    Ok(server.probe(work).await?)
}

/// The time of the server; `None` on SQLite, which has that of this machine.
pub async fn clock(db: &Db) -> Result<Option<Timestamp>, DbError> {
    let Db::Postgres(server) = db else { return Ok(None) };
    let sql = "select cast(extract(epoch from clock_timestamp()) * 1000 as bigint)";
    let work = async |connection: &mut sqlx::PgConnection| sqlx::query_as::<_, (i64,)>(sql).fetch_one(connection).await;
    let (now_ms,) = server.probe(work).await?;
    Ok(Some(Timestamp::from_millis(now_ms)))
}
