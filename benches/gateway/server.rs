//! The released binary under measurement.

use std::{
    fs,
    process::{Child, Command, Stdio},
    time::Duration,
};

use crate::{
    client::{Client, request},
    floor::Statements,
    load::Step,
    seed::Seed,
};

pub struct Server {
    process: Child,
    pub port: u16,
}

impl Server {
    pub async fn start(seed: &Seed, log_level: Option<&str>) -> Self {
        let log = fs::File::create(seed.log()).unwrap();
        let mut command = seed.command();
        command.arg("serve").env("ROLEGATE_LOG_LEVEL", log_level.unwrap_or("warn")).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let server = Self { process: command.spawn().unwrap(), port: seed.port };
        for _ in 0..300 {
            if tokio::net::TcpStream::connect(("127.0.0.1", seed.port)).await.is_ok() {
                let mut client = Client::connect(seed.port).await;
                if client.send(&request("GET", "/health/ready", None, "text/plain", "")).await.status == 200 {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    return server;
                }
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("the server did not get ready: {}", fs::read_to_string(seed.log()).unwrap());
    }

    pub async fn stop(&mut self) {
        let pid = self.process.id().to_string();
        Command::new("kill").arg(pid).status().unwrap();
        for _ in 0..100 {
            if self.process.try_wait().unwrap().is_some() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// The statements in the log of one request of this kind, after another that filled the caches.
    pub async fn statements_of(&mut self, seed: &Seed, step: &Step) -> Statements {
        let mut client = Client::connect(self.port).await;
        step.before(seed, &mut client, 900_000).await;
        step.once(seed, &mut client, 900_000).await;
        step.after(seed, &mut client, 900_000).await;
        step.before(seed, &mut client, 900_001).await;
        // What runs after the commit (numbers and seals) belongs to nobody's request: it has come to rest by then.
        tokio::time::sleep(Duration::from_millis(1500)).await;
        let before = fs::read_to_string(seed.log()).unwrap().len();
        step.once(seed, &mut client, 900_001).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
        let log = fs::read_to_string(seed.log()).unwrap();
        let mut statements = Statements::default();
        for line in log[before..].lines().filter(|line| line.contains("sqlx::query")) {
            // A long statement stands beside the summary of it, a short one is its summary.
            let part = |name: &str| line.split(name).nth(1).map(|rest| rest.trim_start_matches(['"', '\\', 'n']).trim_start());
            let text = part("db.statement=").filter(|text| text.contains(' ') && !text.starts_with("rows")).or_else(|| part("summary="));
            let text = text.unwrap_or_default();
            // Where statements wait for the next one, a line has several of them: on PostgreSQL inserts in the `with` of another.
            if text.starts_with("with w0 as (insert into ") {
                statements.writes += text.matches("insert into ").count();
                continue;
            }
            let count = |word: &str| usize::from(text.starts_with(word)) + text.matches(&format!("; {word} ")).count();
            statements.writes += count("insert") + count("update") + count("delete");
            statements.reads += count("select") + count("with");
        }
        statements.commits = if statements.writes > 0 { step.commits() } else { 0 };
        step.after(seed, &mut client, 900_001).await;
        statements
    }

    /// Resident memory.
    pub fn resident_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Processor time so far, of user and kernel, to a hundredth of a second.
    pub fn cpu(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.process.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
        let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        Duration::from_millis(ticks * 10)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
