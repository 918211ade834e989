//! A gateway in a process of its own, with the machine's clock; killed when the value is dropped.

use std::{
    fs::File,
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

pub struct Process {
    child: Child,
    /// Without a slash at its end.
    pub base: String,
}

impl Process {
    /// Starts on a free port and waits until it is ready. `folder` has the data and the master key.
    pub async fn start(database: &str, folder: &Path, more: &[(&str, &str)]) -> Self {
        Self::start_logging_to(database, folder, more, Stdio::inherit()).await
    }

    /// As [`Process::start`], with the log in a file.
    pub async fn start_logged(database: &str, folder: &Path, more: &[(&str, &str)], log: &Path) -> Self {
        Self::start_logging_to(database, folder, more, File::create(log).unwrap().into()).await
    }

    /// As [`Process::start`], with another place for its log.
    pub async fn start_logging_to(database: &str, folder: &Path, more: &[(&str, &str)], stderr: Stdio) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = Command::new(env!("CARGO_BIN_EXE_rolegate"))
            .arg("serve")
            .env("ROLEGATE_DATABASE_URL", database)
            .env("ROLEGATE_LISTEN", format!("127.0.0.1:{port}"))
            .env("ROLEGATE_DATA_DIR", folder)
            .env("ROLEGATE_LOG_LEVEL", "error")
            .envs(more.iter().copied())
            .current_dir(folder)
            .stdout(Stdio::null())
            .stderr(stderr)
            .spawn()
            .unwrap();
        let mut process = Self { child, base: format!("http://127.0.0.1:{port}") };
        let ready = format!("{}/health/ready", process.base);
        for _ in 0..300 {
            if let Some(ended) = process.child.try_wait().unwrap() {
                panic!("the gateway ended before it was ready: {ended}");
            }
            if reqwest::get(&ready).await.is_ok_and(|answer| answer.status() == 200) {
                return process;
            }
            // Another process has a clock of its own.
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the gateway is not ready after 15 seconds");
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
