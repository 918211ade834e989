//! The floor: the same number of bare statements and commits by the same driver, with nothing around them; for sign-ins also a bare
//! verification of the same signature.

use std::time::{Duration, Instant};

use rolegate::db::{Db, PoolSize};

use crate::{
    load::{Kind, Step},
    seed::Seed,
};

/// What one request does in the database.
#[derive(Debug, Clone, Copy, Default)]
pub struct Statements {
    pub reads: usize,
    pub writes: usize,
    pub commits: usize,
}

#[derive(Debug, Clone, Copy)]
pub struct Floor {
    /// One request's worth of statements, at this concurrency: elapsed time divided by how many were done.
    pub sql: Duration,
    pub verification: Option<Duration>,
}

/// So many requests' worth of statements are enough for a mean that is steady.
const ROUNDS: usize = 2_000;
/// But no more statements than this.
const STATEMENTS: usize = 40_000;

pub async fn measure(seed: &Seed, step: &Step, statements: &Statements, concurrency: usize) -> Floor {
    let db = Db::open(&seed.scratch, PoolSize(16)).await.unwrap();
    prepare(&db).await;
    let begun = Instant::now();
    let mut workers = tokio::task::JoinSet::new();
    let rounds = (ROUNDS.min(STATEMENTS / (statements.reads + statements.writes).max(1)) / concurrency).max(1);
    for worker in 0..concurrency {
        let (db, statements) = (db.clone(), *statements);
        workers.spawn(async move {
            for round in 0..rounds {
                one(&db, &statements, worker * 1_000_000 + round * statements.writes).await;
            }
        });
    }
    workers.join_all().await;
    let sql = begun.elapsed() / u32::try_from(rounds * concurrency).unwrap();
    db.close().await;
    let verification = (step.kind == Kind::Acs).then(|| seed.bare_verification());
    Floor { sql, verification }
}

async fn prepare(db: &Db) {
    let mut tx = db.begin().await.unwrap();
    tx.query("drop table if exists floor").run().await.unwrap();
    tx.query("create table floor (tenant text not null, id text not null, value text not null, primary key (tenant, id))")
        .run()
        .await
        .unwrap();
    tx.query("insert into floor (tenant, id, value) values ('t', 'here', 'x')").run().await.unwrap();
    tx.commit().await.unwrap();
}

/// A row is as large as a row of the audit trail.
const VALUE: &str =
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

async fn one(db: &Db, statements: &Statements, first: usize) {
    if statements.commits == 0 {
        for _ in 0..statements.reads {
            let _: Option<(String,)> =
                db.query("select value from floor where tenant = $1 and id = $2").bind("t").bind("here").optional().await.unwrap();
        }
        return;
    }
    for commit in 0..statements.commits {
        let part = |all: usize| all * commit / statements.commits..all * (commit + 1) / statements.commits;
        let mut tx = db.begin().await.unwrap();
        for _ in part(statements.reads) {
            let _: Option<(String,)> =
                tx.query("select value from floor where tenant = $1 and id = $2").bind("t").bind("here").optional().await.unwrap();
        }
        for write in part(statements.writes) {
            tx.query("insert into floor (tenant, id, value) values ($1, $2, $3) on conflict do nothing")
                .bind("t")
                .bind(format!("{:016}", first + write))
                .bind(VALUE)
                .run()
                .await
                .unwrap();
        }
        tx.commit().await.unwrap();
    }
}
