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
        for ratio in &RATIOS {
            self.print_ratio(ratio);
        }
        for line in &self.memory {
            println!("{line}");
        }
    }
}

/// What one kind of request may cost beside another of the same run.
struct Ratio {
    of: &'static str,
    /// Requests of the other kind that stand against one of this.
    to: (u32, &'static str),
    limit: Limit,
}

enum Limit {
    AtMost(f64),
    /// So many times faster.
    Faster(f64),
}

const RATIOS: [Ratio; 7] = [
    Ratio { of: "group add at 50000", to: (1, "group add at 10"), limit: Limit::AtMost(1.2) },
    Ratio { of: "group remove at 50000", to: (1, "group remove at 10"), limit: Limit::AtMost(1.2) },
    Ratio { of: "group add of 1000", to: (1, "group add at 10"), limit: Limit::AtMost(60.0) },
    Ratio { of: "list at 99000 by cursor", to: (1, "list first page"), limit: Limit::AtMost(1.3) },
    Ratio { of: "list at 99000 by startIndex", to: (1, "list first page"), limit: Limit::AtMost(3.0) },
    Ratio { of: "bulk of 1000 creates", to: (1000, "create"), limit: Limit::Faster(5.0) },
    Ratio { of: "filter at 100000", to: (1, "filter at 1000"), limit: Limit::AtMost(1.5) },
];

impl Report {
    fn print_ratio(&self, ratio: &Ratio) {
        let (times, small) = ratio.to;
        for (engine, name, concurrency, mean) in &self.means {
            let other = self.means.iter().find(|(e, n, c, _)| e == engine && *n == small && c == concurrency);
            let (true, Some((_, _, _, base))) = (name == ratio.of, other) else { continue };
            let (mean, base) = (mean.as_secs_f64(), (*base * times).as_secs_f64());
            let line = match ratio.limit {
                Limit::AtMost(limit) => format!("{name} / {small} = {:.2} (at most {limit})", mean / base),
                Limit::Faster(limit) => format!("{name}: {:.1} times as fast as {times} x {small} (at least {limit})", base / mean),
            };
            println!("{engine}, {concurrency} at once: {line}");
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "sizes of processes are far below 2^52 KiB")]
fn kib_to_mib(kib: u64) -> f64 {
    kib as f64 / 1024.0
}
