//! Everything that a database holds, as text: to see that nothing was written.

use std::collections::BTreeMap;

use sqlx::{AssertSqlSafe, Connection as _, PgConnection, SqliteConnection};

/// The rows of each table, in an order of their own.
pub type Dump = BTreeMap<String, Vec<String>>;

/// All tables but those named.
pub async fn dump(address: &str, but: &[&str]) -> Dump {
    if address.starts_with("postgres") { postgres(address, but).await } else { sqlite(address, but).await }
}

async fn sqlite(address: &str, but: &[&str]) -> Dump {
    let mut connection = SqliteConnection::connect(address).await.unwrap();
    let names = "select name from sqlite_master where type = 'table' and name not like 'sqlite_%'";
    let mut dump = Dump::new();
    for (table,) in sqlx::query_as::<_, (String,)>(names).fetch_all(&mut connection).await.unwrap() {
        if but.contains(&table.as_str()) {
            continue;
        }
        let columns = format!("select name from pragma_table_info('{table}')");
        let columns: Vec<(String,)> = sqlx::query_as(AssertSqlSafe(columns)).fetch_all(&mut connection).await.unwrap();
        let columns: Vec<_> = columns.into_iter().map(|(column,)| format!("quote({column})")).collect();
        let sql = format!("select {} as row from {table} order by 1", columns.join(" || ',' || "));
        let rows: Vec<(String,)> = sqlx::query_as(AssertSqlSafe(sql)).fetch_all(&mut connection).await.unwrap();
        dump.insert(table, rows.into_iter().map(|(row,)| row).collect());
    }
    connection.close().await.unwrap();
    dump
}

async fn postgres(address: &str, but: &[&str]) -> Dump {
    let mut connection = PgConnection::connect(address).await.unwrap();
    let names = "select tablename::text from pg_tables where schemaname = 'public'";
    let mut dump = Dump::new();
    for (table,) in sqlx::query_as::<_, (String,)>(names).fetch_all(&mut connection).await.unwrap() {
        if but.contains(&table.as_str()) {
            continue;
        }
        let sql = format!("select row_to_json(t)::text as row from {table} t order by 1");
        let rows: Vec<(String,)> = sqlx::query_as(AssertSqlSafe(sql)).fetch_all(&mut connection).await.unwrap();
        dump.insert(table, rows.into_iter().map(|(row,)| row).collect());
    }
    connection.close().await.unwrap();
    dump
}

/// Fails with the first table that is not what it was.
#[track_caller]
pub fn assert_same(before: &Dump, after: &Dump, what: &str) {
    for (table, rows) in after {
        assert_eq!(before.get(table), Some(rows), "{what}: {table} was written");
    }
    assert_eq!(before.len(), after.len());
}
