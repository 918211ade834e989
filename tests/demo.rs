//! `rolegate demo` as a first-time reader runs it.

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
};

use tempfile::TempDir;

fn demo(directory: &TempDir) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rolegate"));
    // Nothing of the surroundings may lead it to another database.
    command
        .arg("demo")
        .current_dir(directory.path())
        .env("TMPDIR", directory.path())
        .env("ROLEGATE_DATABASE_URL", "postgres://nobody@127.0.0.1:1/x");
    command
}

#[test]
fn it_ends_well_when_everything_happened_as_told_and_leaves_nothing() {
    let directory = TempDir::new().unwrap();
    std::fs::write(directory.path().join("rolegate.toml"), "nonsense = 1\n").unwrap();
    let output = demo(&directory).arg("--exit").output().unwrap();
    let (told, complained) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success(), "{told}\n{complained}");
    assert!(!told.contains("[FAILED]") && told.matches("[ok]").count() > 12, "{told}");
    for words in [
        "by the rule \"platform team\" of acme-directory",
        "granted by hand",
        "by the default mapping of acme-partners",
        "named as an owner",
    ] {
        assert!(told.contains(words), "{words}: {told}");
    }
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "only the file that was there before");
}

#[test]
fn it_begins_in_an_empty_directory_only() {
    let directory = TempDir::new().unwrap();
    std::fs::write(directory.path().join("rolegate.db"), "precious").unwrap();
    let output = demo(&directory).args(["--exit", "--data-dir", "."]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let line = String::from_utf8(output.stderr).unwrap();
    assert!(line.contains("is not empty") && line.lines().count() == 1, "{line}");
}

/// Whoever keeps its directory goes on with it: the database and the key lie where the other commands look.
#[test]
fn its_directory_is_one_that_the_gateway_serves() {
    let directory = TempDir::new().unwrap();
    assert!(demo(&directory).args(["--exit", "--data-dir", "kept"]).output().unwrap().status.success());
    let kept = directory.path().join("kept");
    assert!(kept.join("certs/master.key").exists() && !kept.join("master.key").exists());
    let mut verify = Command::new(env!("CARGO_BIN_EXE_rolegate"));
    verify.args(["audit", "verify"]).current_dir(directory.path()).env("ROLEGATE_DATA_DIR", &kept).env_remove("ROLEGATE_DATABASE_URL");
    let output = verify.output().unwrap();
    let words = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && words.contains("acme: "), "{words}{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn it_keeps_serving_and_its_link_signs_the_owner_in() {
    let directory = TempDir::new().unwrap();
    let mut process = demo(&directory).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(process.stdout.take().unwrap()).lines().map(Result::unwrap);
    let link = lines.into_iter().find_map(|line| line.split("Sign in, once:").nth(1).map(|link| link.trim().to_owned())).unwrap();
    let (address, token) = link.split_once("?token=").unwrap();
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build().unwrap();
    assert!(client.get(&link).send().await.unwrap().text().await.unwrap().contains("Sign in"));
    let answer = client.post(address).form(&[("token", token)]).send().await.unwrap();
    let cookie = answer.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
    assert!(cookie.starts_with("rolegate_session="), "without the prefix on plain loopback");
    let me = client.get(address.replace("/sign-in/link", "/me")).header("cookie", cookie).header("accept", "application/json");
    let me: serde_json::Value = me.send().await.unwrap().json().await.unwrap();
    assert_eq!(me["account"]["email"], "you@acme.example");
    assert!(Command::new("kill").args(["-TERM", &process.id().to_string()]).status().unwrap().success());
    let ended = (0..100).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(100));
        process.try_wait().unwrap().is_some()
    });
    assert!(ended && std::fs::read_dir(directory.path()).unwrap().count() == 0, "told to end, it leaves nothing");
}
