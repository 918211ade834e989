//! A `rolegate serve` of its own for a test, on loopback, ended by its pid.

use std::{
    fs,
    net::TcpListener,
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;

use crate::common::engines::{Engine, Fresh};

pub struct Gateway {
    pub url: String,
    /// Where its files lie; also the working directory of its commands.
    pub directory: TempDir,
    database: Fresh,
    port: u16,
    process: Option<Child>,
}

impl Gateway {
    /// A database and a free port; nothing runs yet.
    pub async fn prepare(engine: Engine) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        Self {
            url: format!("http://127.0.0.1:{port}"),
            directory: TempDir::new().unwrap(),
            database: engine.fresh().await,
            port,
            process: None,
        }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rolegate"));
        command
            .args(arguments)
            .current_dir(self.directory.path())
            .env("ROLEGATE_DATABASE_URL", &self.database.address)
            .env("ROLEGATE_LISTEN", format!("127.0.0.1:{}", self.port))
            .env("ROLEGATE_PUBLIC_URL", &self.url)
            .env("ROLEGATE_MASTER_KEY_FILE", self.directory.path().join("master.key"))
            .stdin(Stdio::null());
        command
    }

    /// Runs a command that must succeed.
    pub fn run(&self, arguments: &[&str]) -> Output {
        let output = self.command(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        output
    }

    /// As [`Gateway::run`], with what it prints for programs.
    pub fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_slice(&self.run(arguments).stdout).unwrap()
    }

    /// Applies a tenant file and starts to serve.
    pub async fn start(&mut self, tenant: &str) -> Value {
        fs::write(self.directory.path().join("tenant.toml"), tenant).unwrap();
        let applied = self.json(&["apply", "tenant.toml", "--json"]);
        self.serve().await;
        applied
    }

    /// Starts to serve and waits until it is ready, twenty seconds at most.
    pub async fn serve(&mut self) {
        let log = fs::File::create(self.directory.path().join("serve.log")).unwrap();
        self.process = Some(self.command(&["serve"]).stdout(Stdio::null()).stderr(log).spawn().unwrap());
        for _ in 0..200 {
            let ready = reqwest::get(format!("{}/health/ready", self.url)).await.is_ok_and(|answer| answer.status().is_success());
            if ready {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("the gateway did not get ready: {}", fs::read_to_string(self.directory.path().join("serve.log")).unwrap());
    }

    /// Ends it at once, as a power failure would.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    /// A SCIM token of a connection.
    pub fn token(&self, connection: &str) -> String {
        self.json(&["token", "create", "--connection", connection, "--ttl", "1d", "--json"])["token"].as_str().unwrap().to_owned()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.kill();
    }
}
