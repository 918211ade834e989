//! The table.

use std::time::Duration;

use crate::{
    floor::{Floor, Statements},
    load::{Measured, Step},
};

#[derive(Default)]
pub struct Report {
    lines: Vec<String>,
    memory: Vec<String>,
    means: Vec<(&'static str, String, usize, Duration)>,
}

fn ms(duration: Duration) -> String {
    format!("{:.3}", duration.as_secs_f64() * 1000.0)
}

impl Report {
    pub fn idle(&mut self, engine: &str, kib: u64) {
        self.memory.push(format!("{engine}: {:.1} MiB resident when idle after the start", kib_to_mib(kib)));
    }

    pub fn idle_after(&mut self, engine: &str, kib: u64) {
        self.memory.push(format!("{engine}: {:.1} MiB resident after the load", kib_to_mib(kib)));
    }

    pub fn row(
        &mut self,
        engine: &'static str,
        step: &Step,
        statements: &Statements,
        concurrency: usize,
        measured: &Measured,
        floor: &Floor,
    ) {
        let floor_time = floor.sql + floor.verification.unwrap_or_default();
        self.means.push((engine, step.name.clone(), concurrency, measured.mean));
        self.lines.push(format!(
            "| {engine} | {} | {concurrency} | {:.0} | {} | {} | {} | {}r {}w {}c | {} | {:.2} |",
            step.name,
            1.0 / measured.mean.as_secs_f64(),
            ms(measured.mean),
            ms(measured.p99),
            ms(measured.cpu),
            statements.reads,
            statements.writes,
            statements.commits,
            ms(floor_time),
            measured.mean.as_secs_f64() / floor_time.as_secs_f64(),
        ));
    }

    pub fn print(&self) {
        println!("| engine | request | at once | per second | ms each | p99 ms | server CPU ms | statements | floor ms | ratio to floor |");
        println!("|---|---|---:|---:|---:|---:|---:|---|---:|---:|");
        for line in &self.lines {
            println!("{line}");
        }
        println!();
        for (large, small, limit) in [("group add at 50000", "group add at 10", 1.3), ("filter at 100000", "filter at 1000", 1.5)] {
            for (engine, name, concurrency, mean) in &self.means {
                let other = self.means.iter().find(|(e, n, c, _)| e == engine && n == small && c == concurrency);
                if let (true, Some((_, _, _, base))) = (name == large, other) {
                    println!(
                        "{engine}, {concurrency} at once: {large} / {small} = {:.2} (to reach: {limit})",
                        mean.as_secs_f64() / base.as_secs_f64()
                    );
                }
            }
        }
        for line in &self.memory {
            println!("{line}");
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "sizes of processes are far below 2^52 KiB")]
fn kib_to_mib(kib: u64) -> f64 {
    kib as f64 / 1024.0
}
