//! What the gateway costs, beside what the same work costs without it, in one run on each engine.
//!
//! The released binary serves on loopback; this process is the client, and the floor: the same number of bare SQL statements and
//! commits on the same kind of database, and a bare signature verification. Times are for orientation, ratios are the result.
//!
//! `make bench` runs it; `make bench ARGS=sqlite` or `ARGS=postgres` one engine alone, `ARGS=saml` sign-ins in this process; further words
//! choose the requests whose names have one of them (`make bench ARGS="sqlite list group"`).
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a benchmark reads the clock, and what fails in it ends it")]

mod check;
mod client;
mod floor;
mod load;
mod report;
#[expect(clippy::format_collect, reason = "messages are made before anything is measured")]
mod saml;
mod seed;
mod server;

use std::env;

use load::{Load, Step};
use report::Report;
use seed::Seed;
use server::Server;

/// Requests under way at once.
const CONCURRENCY: [usize; 3] = [1, 8, 64];

fn main() {
    let parts = ["sqlite", "postgres", "saml"];
    let (only, words): (Vec<String>, Vec<String>) =
        env::args().skip(1).filter(|argument| !argument.starts_with('-')).partition(|argument| parts.contains(&argument.as_str()));
    let wanted = |part: &str| only.is_empty() || only.iter().any(|only| only == part);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut report = Report::default();
    for engine in ["sqlite", "postgres"] {
        if wanted(engine) {
            if words.is_empty() || words.iter().any(|word| "check".contains(word.as_str())) {
                runtime.block_on(check::measure(engine));
            }
            runtime.block_on(measure(engine, &words, &mut report));
        }
    }
    report.print();
    if wanted("saml") {
        runtime.block_on(saml::measure());
    }
}

async fn measure(engine: &'static str, words: &[String], report: &mut Report) {
    eprintln!("== {engine}: seeding");
    let seed = Seed::make(engine).await;
    let mut steps = Step::all(&seed);
    steps.retain(|step| words.is_empty() || words.iter().any(|word| step.name.contains(word.as_str())));

    // First with every statement in the log, to know what the floor has to do.
    let mut server = Server::start(&seed, Some("warn,sqlx::query=debug")).await;
    let mut statements = Vec::new();
    for step in &steps {
        statements.push(server.statements_of(&seed, step).await);
    }
    server.stop().await;

    let mut server = Server::start(&seed, None).await;
    report.idle(engine, server.resident_kib());
    for (step, statements) in steps.iter().zip(&statements) {
        for concurrency in CONCURRENCY.into_iter().filter(|at_once| *at_once == 1 || !step.is_alone()) {
            eprintln!("== {engine}: {} at {concurrency}", step.name);
            let floor = floor::measure(&seed, step, statements, concurrency).await;
            let measured = Load::run(&seed, &mut server, step, concurrency).await;
            report.row(engine, step, statements, concurrency, &measured, &floor);
        }
    }
    report.idle_after(engine, server.resident_kib());
    server.stop().await;
}
