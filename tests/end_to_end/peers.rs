//! The peers of `tests/peers`, as processes. Their installation is `tests/peers/setup.sh`, which `make test` runs.

use std::{
    env, fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use serde_json::{Value, json};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers")
}

fn python() -> PathBuf {
    let home = env::var_os("PEERS_HOME").map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers"), PathBuf::from);
    let python = home.join("venv/bin/python");
    assert!(python.exists(), "the peers are not installed: run `make test`, or tests/peers/setup.sh once");
    python
}

/// Runs scim2-tester; what it printed.
pub fn scim2_tester(base: &str, token: &str) -> Output {
    Command::new(python()).arg(folder().join("run_scim2_tester.py")).arg(base).arg(token).stdin(Stdio::null()).output().unwrap()
}

/// Runs schemathesis against the API's own document with a bearer: the same requests each time. What it printed.
pub fn schemathesis(url: &str, token: &str) -> Output {
    const CHECKS: &str =
        "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,response_schema_conformance";
    let arguments =
        ["--phases", "examples,coverage,fuzzing", "--max-examples", "3", "--seed", "7", "--generation-deterministic", "--no-color"];
    Command::new(python().with_file_name("schemathesis"))
        .arg("--config-file")
        .arg(folder().join("schemathesis.toml"))
        .args(["run", &format!("{url}/api/openapi.json"), "--header", &format!("Authorization: Bearer {token}"), "--checks", CHECKS])
        .args(arguments)
        .current_dir(env::temp_dir())
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// Which part of the response the identity provider signs.
pub const SIGNING: [&str; 3] = ["assertion", "response", "both"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Product {
    Pysaml2,
    Samlp,
}

/// A running identity provider; it ends when its standard input closes.
pub struct IdentityProvider {
    process: Child,
    configuration: PathBuf,
    settings: Value,
    pub metadata_url: String,
    pub initiate_url: String,
}

impl IdentityProvider {
    /// One that knows the service provider of a connection.
    pub fn start(product: Product, directory: &Path, gateway_url: &str, connection: &str) -> Self {
        let settings = json!({
            "port": 0,
            "sp_entity_id": format!("{gateway_url}/connections/{connection}/saml/metadata"),
            "acs_url": format!("{gateway_url}/connections/{connection}/saml/acs"),
            "sign": "assertion",
            "users": {},
        });
        let configuration = directory.join(format!("{connection}.json"));
        fs::write(&configuration, settings.to_string()).unwrap();
        let mut command = match product {
            Product::Pysaml2 => {
                let mut command = Command::new(python());
                command.arg(folder().join("pysaml2_idp.py"));
                command
            }
            Product::Samlp => {
                let mut command = Command::new("node");
                command.arg(folder().join("samlp_idp.js"));
                command
            }
        };
        let log = fs::File::create(directory.join(format!("{connection}.log"))).unwrap();
        let mut process = command.arg(&configuration).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let said: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("{product:?} did not start: {line:?}"));
        let text = |key: &str| said[key].as_str().unwrap().to_owned();
        Self { process, configuration, settings, metadata_url: text("metadata_url"), initiate_url: text("initiate_url") }
    }

    /// Changes one setting; the next request sees it.
    pub fn set(&mut self, key: &str, value: Value) {
        self.settings[key] = value;
        let draft = self.configuration.with_extension("new");
        fs::write(&draft, self.settings.to_string()).unwrap();
        fs::rename(draft, &self.configuration).unwrap();
    }
}

impl Drop for IdentityProvider {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        // Should it not end by itself, it is ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Signs a person in as a browser would; see `tests/peers/README.md` for the answer.
pub fn browse(start_url: &str, user: &str) -> Value {
    run_browser(start_url, user, &[])
}

/// As [`browse`], and goes on: `sign-out`, or an address to open.
pub fn browse_on(start_url: &str, user: &str, then: &str) -> Value {
    run_browser(start_url, user, &["--then", then])
}

fn run_browser(start_url: &str, user: &str, more: &[&str]) -> Value {
    let output = Command::new(python())
        .arg(folder().join("browser.py"))
        .args([start_url, "--user", user, "--password", "pw"])
        .args(more)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{start_url}: {}", String::from_utf8_lossy(&output.stderr));
    let mut answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    // What a failing test prints of it stays readable.
    answer.as_object_mut().unwrap().remove("saml_response");
    answer
}
