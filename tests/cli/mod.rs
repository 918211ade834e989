//! The binary as an operator runs it.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::TcpListener,
    os::unix::fs::PermissionsExt as _,
    process::{Command, Output},
};

use rolegate::{
    db::{
        Db, PoolSize,
        connection::find_connection_by_slug,
        sign_in::{SignInLogRow, SignInOutcome, Why, log_sign_ins},
    },
    domain::text::is_control_or_bidi,
    saml::issuer::IssuerKey,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::common::{
    NOW,
    idp::{ENTITY_ID, KEY, SSO_URL, metadata_xml},
    ids,
};

const FILE: &str = r#"
[tenant]
slug = "acme"
name = "Acme"
preset = "owner-member"

[[owners]]
email = "owner@acme.example"
name = "First Owner"

[[connections]]
slug = "acme-okta"
[connections.scim]
enabled = true
"#;

/// A directory with a tenant's file, where commands run.
struct Host(TempDir);

impl Host {
    fn new() -> Self {
        let directory = TempDir::new().unwrap();
        fs::write(directory.path().join("acme.toml"), FILE).unwrap();
        Self(directory)
    }

    fn with(&self, variables: &[(&str, &str)], arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rolegate"));
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("ROLEGATE_")) {
            command.env_remove(name);
        }
        command.args(arguments).envs(variables.iter().copied()).current_dir(self.0.path()).output().unwrap()
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.with(&[], arguments)
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

/// Somebody deleted the database: nothing makes an empty one in its place unless it is asked for.
#[test]
fn a_database_that_is_gone_is_not_made_anew_beside_its_master_key() {
    let host = Host::new();
    host.json(&["apply", "acme.toml", "--json"]);
    for file in ["rolegate.db", "rolegate.db-wal", "rolegate.db-shm"] {
        let _ = fs::remove_file(host.0.path().join(file));
    }
    for command in [&["serve"][..], &["apply", "acme.toml"], &["plan", "acme.toml"], &["accounts"]] {
        let (status, why) = refused(&host.run(command));
        assert_eq!(status, 1);
        assert!(why.contains("rolegate.db does not exist") && why.contains("--new-database"), "{why}");
        assert!(!host.0.path().join("rolegate.db").exists());
    }
    assert_eq!(host.run(&["check"]).status.code(), Some(1));
    assert!(host.run(&["apply", "acme.toml", "--new-database"]).status.success());
    assert!(host.run(&["check"]).status.success());
}

/// Status and stderr of a command that failed.
fn refused(output: &Output) -> (i32, String) {
    assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
    (output.status.code().unwrap(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn apply_prints_what_the_administrator_of_an_identity_provider_needs() {
    let host = Host::new();
    let first = host.json(&["apply", "acme.toml", "--json"]);
    assert_eq!(keys(&first), ["connections", "sign_in_links"]);
    let connection = &first["connections"][0];
    assert_eq!(keys(connection), ["id", "slug", "scim_base_url", "acs_url", "entity_id", "metadata_url", "login_url"]);
    assert_eq!(connection["scim_base_url"], "http://127.0.0.1:8080/connections/acme-okta/scim/v2");
    assert_eq!(connection["acs_url"], "http://127.0.0.1:8080/connections/acme-okta/saml/acs");
    assert_eq!(connection["metadata_url"], "http://127.0.0.1:8080/connections/acme-okta/saml/metadata");
    let link = first["sign_in_links"][0]["url"].as_str().unwrap();
    assert!(link.starts_with("http://127.0.0.1:8080/sign-in/link?token="), "{link}");

    let second = host.json(&["apply", "acme.toml", "--json"]);
    assert_eq!(second["connections"], first["connections"]);
    assert_eq!(second["sign_in_links"], json!([]));
    assert_eq!(connection["login_url"], "http://127.0.0.1:8080/connections/acme-okta/saml/login");
    let in_words = "nothing to do\nconnection acme-okta\n  SCIM base URL        http://127.0.0.1:8080/connections/acme-okta/scim/v2\n";
    assert_eq!(String::from_utf8(host.run(&["apply", "acme.toml"]).stdout).unwrap(), in_words);
    assert_eq!(host.json(&["plan", "acme.toml", "--json"])["changes"], json!([]));
}

#[test]
fn a_tenant_below_its_owner_floor_and_a_connection_without_certificates_are_told() {
    let host = Host::new();
    let with_saml = FILE.replace("[connections.scim]\nenabled = true", "[connections.saml]\nenabled = true");
    fs::write(host.0.path().join("saml.toml"), with_saml).unwrap();
    for command in ["plan", "apply", "apply"] {
        let output = host.run(&[command, "saml.toml"]);
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{told}");
        assert!(told.contains("warning: acme: 1 of the 2 owners that min_owners asks for"), "{told}");
        assert!(told.contains("warning: acme-okta: no certificate of the identity provider is trusted"), "{told}");
    }
    let report = host.run(&["check", "--json"]);
    assert_eq!(report.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&report.stdout).unwrap();
    let graded: Vec<_> = report["findings"].as_array().unwrap().iter().map(|found| (&found["check"], &found["grade"])).collect();
    assert!(graded.contains(&(&json!("owners"), &json!("warning"))), "{graded:?}");
    assert!(graded.contains(&(&json!("certificate"), &json!("failed"))), "{graded:?}");

    let two = format!("{}\n[[owners]]\nemail = \"b@acme.example\"\nname = \"B\"\n", FILE.split("[[connections]]").next().unwrap());
    fs::write(host.0.path().join("two.toml"), two).unwrap();
    assert!(host.run(&["plan", "two.toml"]).status.success());
    let output = host.run(&["apply", "two.toml"]);
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
    assert!(host.run(&["check"]).status.success());
}

#[test]
fn tokens_are_made_listed_and_revoked() {
    let host = Host::new();
    host.json(&["apply", "acme.toml", "--json"]);
    let made = host.json(&["token", "create", "--connection", "acme-okta", "--ttl", "90d", "--json"]);
    assert_eq!(keys(&made), ["id", "token", "expires_at"]);
    assert!(made["token"].as_str().unwrap().starts_with("rg_scim_"));
    let id = made["id"].as_str().unwrap();
    let listed = host.json(&["token", "list", "--connection", "acme-okta", "--json"]);
    assert_eq!((listed[0]["id"].as_str(), &listed[0]["revoked_at"], &listed[0]["state"]), (Some(id), &Value::Null, &json!("live")));
    assert!(host.run(&["token", "revoke", "--connection", "acme-okta", id]).status.success());
    assert!(host.json(&["token", "list", "--connection", "acme-okta", "--json"])[0]["revoked_at"].is_string());
    let short = host.json(&["token", "create", "--connection", "acme-okta", "--ttl", "1s", "--json"]);
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let told = String::from_utf8(host.run(&["token", "list", "--connection", "acme-okta"]).stdout).unwrap();
    let line_of = |id: &Value| told.lines().find(|line| line.starts_with(id.as_str().unwrap())).unwrap().to_owned();
    assert!(line_of(&made["id"]).contains("  revoked 2") && line_of(&short["id"]).contains("  EXPIRED 2"), "{told}");
    let checked = String::from_utf8(host.run(&["check"]).stdout).unwrap();
    assert!(checked.contains("WARNING  SCIM token: acme-okta: the last token expired at"), "{checked}");
    let (status, why) = refused(&host.run(&["token", "revoke", "--connection", "acme-okta", id]));
    assert_eq!((status, why.lines().count()), (1, 1), "{why}");
}

#[test]
fn oauth_clients_are_made_given_a_second_secret_and_revoked() {
    let host = Host::new();
    host.json(&["apply", "acme.toml", "--json"]);
    let on = ["--connection", "acme-okta"];
    let told = String::from_utf8(host.run(&[&["oauth-client", "list"], &on[..]].concat()).stdout).unwrap();
    assert_eq!(told, "acme-okta has no OAuth client yet: `rolegate oauth-client create --connection acme-okta` makes one\n");
    let made = host.json(&[&["oauth-client", "create", "--name", "Entra", "--json"], &on[..]].concat());
    assert_eq!(keys(&made), ["client_id", "secret_id", "client_secret", "expires_at", "token_url"]);
    assert_eq!(made["token_url"], "http://127.0.0.1:8080/connections/acme-okta/oauth/token");
    let client = made["client_id"].as_str().unwrap();
    let second = host.json(&[&["oauth-client", "add-secret", client, "--json"], &on[..]].concat());
    assert_eq!((&second["client_id"], second["client_secret"] == made["client_secret"]), (&made["client_id"], false));
    let (status, why) = refused(&host.run(&[&["oauth-client", "add-secret", client], &on[..]].concat()));
    assert!(status == 1 && why.lines().count() == 1 && why.contains("two live secrets already"), "{why}");

    let secret_states = || {
        let listed = host.json(&[&["oauth-client", "list", "--json"], &on[..]].concat());
        assert_eq!((&listed[0]["client_id"], &listed[0]["name"]), (&made["client_id"], &json!("Entra")));
        assert!(!listed.to_string().contains("client_secret"));
        let secrets = listed[0]["secrets"].as_array().unwrap();
        secrets.iter().map(|secret| secret["state"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(secret_states(), ["live", "live"]);
    let first = made["secret_id"].as_str().unwrap();
    assert!(host.run(&[&["oauth-client", "revoke-secret", client, first], &on[..]].concat()).status.success());
    assert_eq!(secret_states(), ["revoked", "live"]);
    assert!(host.run(&[&["oauth-client", "revoke", client], &on[..]].concat()).status.success());
    assert_eq!(secret_states(), ["revoked", "revoked"]);
    let told = String::from_utf8(host.run(&[&["oauth-client", "list"], &on[..]].concat()).stdout).unwrap();
    assert!(
        told.starts_with(&format!("{client}  Entra  revoked 2")) && told.contains(&format!("\n  secret {first}  revoked, until 2")),
        "{told}"
    );
    let unknown = "01890000-0000-7000-8000-000000000000";
    let (status, why) = refused(&host.run(&[&["oauth-client", "revoke", unknown], &on[..]].concat()));
    assert!(status == 1 && why.contains("acme-okta: the connection has no such client"), "{why}");
    let export = String::from_utf8(host.run(&["audit", "export"]).stdout).unwrap();
    for action in ["oauth_client.created", "oauth_secret.created", "oauth_secret.revoked", "oauth_client.revoked"] {
        assert!(export.contains(&format!("\"{action}\"")) && !export.contains(made["client_secret"].as_str().unwrap()), "{action}");
    }
}

#[test]
fn listings_say_why_and_the_audit_chain_holds() {
    let host = Host::new();
    host.json(&["apply", "acme.toml", "--json"]);
    let rows = host.json(&["accounts", "--json"]);
    assert_eq!(rows.as_array().unwrap().len(), 1);
    assert_eq!(rows[0]["assignments"][0]["origins"][0]["kind"], "bootstrap");
    assert_eq!(rows, host.json(&["assignments", "--account", "OWNER@acme.example", "--json"]));
    assert_eq!(rows, host.json(&["accounts", "--filter", "roles.value eq \"Organization Owner\"", "--json"]));
    assert_eq!(host.json(&["accounts", "--filter", "active eq false", "--json"]), json!([]));

    let recovered = host.json(&["owner", "recover", "--json"]);
    assert_eq!(recovered["email"], "owner@acme.example");
    let verified = host.json(&["audit", "verify", "--json"]);
    assert_eq!((&verified[0]["unsealed"], &verified[0]["broken"]), (&json!(0), &Value::Null));
    let head = verified[0]["head"].as_str().unwrap();
    assert!(host.run(&["audit", "verify", "--head", head]).status.success());
    let (status, why) = refused_after_printing(&host.run(&["audit", "verify", "--head", &head.replace(['a', 'b', 'c'], "0")]));
    assert!(status == 1 && why.contains("the audit chain is broken"), "{why}");
    let export = String::from_utf8(host.run(&["audit", "export"]).stdout).unwrap();
    let last: Value = serde_json::from_str(export.lines().last().unwrap()).unwrap();
    assert_eq!(last["action"], "owner.recovered");
    assert!(host.run(&["check"]).status.success());
}

fn refused_after_printing(output: &Output) -> (i32, String) {
    (output.status.code().unwrap(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn what_is_wrong_ends_with_one_line_and_the_status_of_its_kind() {
    let host = Host::new();
    let one_line = |output: &Output, expected: &str| {
        let (status, why) = refused(output);
        assert_eq!((status, why.lines().count()), (1, 1), "{why}");
        assert!(why.contains(expected), "{why}");
    };
    one_line(&host.with(&[("ROLEGATE_LISTN", "x")], &["accounts"]), "the nearest is \"ROLEGATE_LISTEN\"");
    one_line(&host.with(&[("ROLEGATE_PUBLIC_URL", "http://id.example")], &["accounts"]), "is not https");
    one_line(&host.run(&["--config", "nowhere.toml", "accounts"]), "nowhere.toml cannot be read");
    one_line(&host.run(&["apply", "nowhere.toml"]), "nowhere.toml");
    one_line(&host.run(&["--no-migrate", "accounts"]), "run once without --no-migrate");
    let first = String::from_utf8(host.run(&["audit", "verify"]).stderr).unwrap();
    assert!(
        first.lines().count() == 1 && first.contains("a new master key was made: back it up") && first.contains("certs/master.key"),
        "{first}"
    );
    one_line(&host.run(&["token", "create", "--connection", "nobody"]), "there is no connection \"nobody\"");
    one_line(&host.run(&["owner", "recover"]), "there is no tenant yet");
    fs::write(host.0.path().join("wrong.toml"), FILE.replace("acme-okta", "Acme Okta")).unwrap();
    one_line(&host.run(&["plan", "wrong.toml"]), "wrong.toml, line 12: connections.slug: ");
    one_line(&host.run(&["apply", "wrong.toml"]), "wrong.toml, line 12: connections.slug: ");
    assert_eq!(host.json(&["accounts", "--json"]), json!([]), "nothing was written");
    for usage in [
        &["nothing"][..],
        &["token", "create"],
        &["accounts", "--filter", "ann"],
        &["token", "create", "--connection", "a", "--ttl", "soon"],
    ] {
        assert_eq!(refused(&host.run(usage)).0, 2, "{usage:?}");
    }
}

#[test]
fn what_is_not_there_yet_is_said() {
    let host = Host::new();
    let text = |arguments: &[&str]| String::from_utf8(host.run(arguments).stdout).unwrap();
    for listing in [&["accounts"][..], &["assignments"], &["audit", "verify"], &["sign-ins"]] {
        assert_eq!(text(listing), "there is no tenant yet: make one with `rolegate apply FILE`\n", "{listing:?}");
    }
    assert_eq!(host.json(&["sign-ins", "--json"]), json!([]));
    host.json(&["apply", "acme.toml", "--json"]);
    assert!(refused(&host.run(&["sign-ins", "--tenant", "nobody"])).1.contains("nobody"));
    assert_eq!(text(&["accounts", "--filter", "active eq false"]), "there is no such account\n");
    assert!(text(&["assignments"]).contains("(subtree): named as an owner in the tenant's file, since 2"), "{}", text(&["assignments"]));
    assert!(text(&["token", "list", "--connection", "acme-okta"]).starts_with("acme-okta has no token yet"));
    assert_eq!(text(&["sign-ins", "--connection", "acme-okta"]), "nobody has signed in by SAML yet\n");
    assert!(
        refused(&host.run(&["sign-ins", "--connection", "nobody"])).1.contains("there is no connection \"nobody\": there are acme-okta")
    );
    let unknown = "01890000-0000-7000-8000-000000000000";
    assert!(refused(&host.run(&["sign-ins", "--reference", unknown])).1.contains("there is no sign-in 01890000"));
    let mode = |name: &str| fs::metadata(host.0.path().join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("rolegate.db"), 0o600, "nobody else reads whom we know");
    let (_, why) = refused(&host.with(&[("ROLEGATE_DATABASE_URL", "sqlite://nowhere/x.db")], &["accounts", "--new-database"]));
    assert!(why.contains("its folder must be there"), "{why}");
}

#[tokio::test]
async fn a_refused_sign_in_is_found_by_its_reference() {
    let cure = "add the identity provider's new certificate";
    let host = Host::new();
    host.json(&["apply", "acme.toml", "--json"]);
    let db = Db::open(&format!("sqlite://{}", host.0.path().join("rolegate.db").display()), PoolSize(1)).await.unwrap();
    let connection = find_connection_by_slug(&db, "acme-okta").await.unwrap().unwrap().connection;
    let mut ids = ids(1);
    let row = |outcome, message: &str, id| SignInLogRow {
        why: Why { code: Some("untrusted_key".to_owned()), cure: Some(cure.to_owned()), ..Why::default() },
        id,
        connection: connection.id,
        at: NOW,
        outcome,
        step: (outcome == SignInOutcome::Refused).then(|| "signature".to_owned()),
        message: message.to_owned(),
        account: None,
        occurrences: 1,
        last_at: NOW,
    };
    let refused = row(SignInOutcome::Refused, "no trusted certificate made this signature", ids.make());
    let rows = [refused.clone(), row(SignInOutcome::Accepted, "signed in", ids.make())];
    let mut tx = db.begin().await.unwrap();
    log_sign_ins(&mut tx, &rows.map(|row| (connection.tenant, row))).await.unwrap();
    tx.commit().await.unwrap();
    db.close().await;

    let told = String::from_utf8(host.run(&["sign-ins", "--reference", &refused.id.to_string()]).stdout).unwrap();
    let expected = format!("{NOW}  acme-okta  {}  REFUSED (signature): no trusted certificate made this signature – {cure}\n", refused.id);
    assert_eq!(told, expected);
    let all = host.json(&["sign-ins", "--connection", "acme-okta", "--json"]);
    assert_eq!((all.as_array().unwrap().len(), &all[0]["outcome"], &all[1]["outcome"]), (2, &json!("accepted"), &json!("refused")));
    assert_eq!(all[1]["reference"], refused.id.to_string());
    assert_eq!((&all[1]["code"], &all[1]["cure"]), (&json!("untrusted_key"), &json!(cure)));
}

#[test]
fn a_plan_leaves_nothing_behind() {
    let host = Host::new();
    let planned = host.json(&["plan", "acme.toml", "--json"]);
    assert!(planned["changes"].as_array().unwrap().len() > 3, "{planned}");
    assert!(!host.0.path().join("rolegate.db").exists());
    host.json(&["apply", "acme.toml", "--json"]);
    assert_eq!(host.json(&["plan", "acme.toml", "--json"])["changes"], json!([]), "what is there is looked at");
}

#[test]
fn a_database_is_not_opened_with_another_key_and_a_check_says_so() {
    let host = Host::new();
    host.json(&["apply", "acme.toml", "--json"]);
    fs::rename(host.0.path().join("certs/master.key"), host.0.path().join("kept.key")).unwrap();
    let (status, why) = refused(&host.run(&["apply", "acme.toml"]));
    assert!(status == 1 && why.contains("the database was written with a master key"), "{why}");
    assert!(!host.0.path().join("certs/master.key").exists(), "no key is made for a database that has one");
    assert!(host.run(&["plan", "acme.toml"]).status.success(), "a plan needs no key");
    let report = host.run(&["check", "--json"]);
    assert_eq!(report.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&report.stdout).unwrap();
    assert_eq!(report["ok"], false);
    assert!(host.with(&[("ROLEGATE_MASTER_KEY_FILE", "kept.key")], &["check"]).status.success());
}

#[test]
fn keys_and_certificates_have_their_whole_life_on_the_command_line() {
    let host = Host::new();
    host.json(&["apply", "acme.toml", "--json"]);
    let named = ["--connection", "acme-okta"];
    let text = |arguments: &[&str]| String::from_utf8(host.run(&[arguments, &named].concat()).stdout).unwrap();
    assert!(text(&["keys", "list"]).starts_with("acme-okta has no key yet: `rolegate keys create"));
    let json = |arguments: &[&str]| host.json(&[arguments, &named, &["--json"]].concat());
    let first = json(&["keys", "create", "--algorithm", "ec-p256"]);
    assert_eq!((&first["state"], &first["key"]), (&json!("current"), &json!("EC P-256")));
    let key = IssuerKey::ec("sp", NOW).unwrap();
    let private = openssl::pkey::PKey::private_key_from_der(key.pair().private_der().expose()).unwrap();
    fs::write(host.0.path().join("sp.key"), private.private_key_to_pem_pkcs8().unwrap()).unwrap();
    fs::write(host.0.path().join("sp.crt"), key.certificate().to_pem()).unwrap();
    let second = json(&["keys", "import", "--private-key", "sp.key", "--certificate", "sp.crt"]);
    assert_eq!(second["state"], "next");
    let (old, new) = (first["id"].as_str().unwrap(), second["id"].as_str().unwrap());
    let (status, why) = refused(&host.run(&[&["keys", "activate", new], &named[..]].concat()));
    assert!(status == 1 && why.contains("--confirm"), "{why}");
    assert_eq!(json(&["keys", "activate", new, "--confirm"])["state"], "current");
    assert!(refused(&host.run(&[&["keys", "remove", old], &named[..]].concat())).1.contains("may still be encrypted for"));
    assert!(text(&["keys", "remove", old, "--confirm"]).contains("is removed"));
    assert_eq!(json(&["keys", "list"]).as_array().unwrap().len(), 1);

    // A new master key opens what the old one sealed, and the old one nothing more.
    let told = String::from_utf8(host.run(&["keys", "rewrap", "--new-key", "new.key"]).stdout).unwrap();
    assert!(told.contains("1 private keys are sealed under the new master key") && told.contains("restart every node"), "{told}");
    let (_, why) = refused(&host.run(&["audit", "verify"]));
    assert!(why.contains("is not the master key that the database was written with"), "{why}");
    let with_new = [("ROLEGATE_MASTER_KEY_FILE", "new.key")];
    assert!(host.with(&with_new, &["audit", "verify"]).status.success(), "the chain holds");
    assert_eq!(host.json(&["keys", "rewrap", "--new-key", "new.key", "--json"])["was_done"], true);

    let with = |arguments: &[&str]| host.with(&with_new, &[arguments, &named].concat());
    assert!(with(&["certificates", "add", "sp.crt"]).status.success());
    let listed = host.with(&with_new, &["certificates", "list", "--connection", "acme-okta", "--json"]);
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!((&listed[0]["state"], &listed[0]["last_used_at"]), (&json!("current"), &Value::Null));
    let id = listed[0]["id"].as_str().unwrap();
    assert!(refused(&with(&["certificates", "retire", id])).1.contains("this is the last certificate that is trusted"));
    assert!(with(&["certificates", "retire", id, "--confirm"]).status.success());
}

#[test]
fn the_oldest_audit_rows_go_to_a_file_and_the_chain_stays_one() {
    let host = Host::new();
    assert!(host.run(&["apply", "acme.toml"]).status.success());
    let before = host.json(&["audit", "verify", "--json"]);
    let rows = before[0]["rows"].as_i64().unwrap();
    assert!(rows > 1 && before[0]["archived"] == 0);
    let early = host.run(&["audit", "archive", "--before", "2020-01-01T00:00:00Z", "--out", "early.jsonl"]);
    assert!(early.status.success() && !host.0.path().join("early.jsonl").exists());
    let late = host.run(&["audit", "archive", "--before", "2999-01-01T00:00:00Z", "--out", "late.jsonl"]);
    assert!(refused(&late).1.contains("in the future") && !host.0.path().join("late.jsonl").exists());
    let now = rolegate::app::Clock::System.now().to_string();
    let archived = host.json(&["audit", "archive", "--before", &now, "--out", "first.jsonl", "--json"]);
    assert_eq!((archived["first"].as_i64(), archived["last"].as_i64(), archived["rows"].as_i64()), (Some(1), Some(rows), Some(rows)));
    let file = host.0.path().join("first.jsonl");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_to_string(&file).unwrap().lines().count(), usize::try_from(rows).unwrap());
    let after = host.json(&["audit", "verify", "--json"]);
    assert_eq!((after[0]["rows"].as_i64(), after[0]["archived"].as_i64()), (Some(1), Some(rows)), "the archiving itself is a row");
    assert!(host.run(&["audit", "verify", "--archive", "first.jsonl"]).status.success());
    let again = host.run(&["audit", "archive", "--before", &now, "--out", "first.jsonl"]);
    assert_eq!(refused(&again).0, 1, "an archive is not overwritten");

    let text = fs::read_to_string(&file).unwrap();
    let first: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    let (right, wrong) = (format!("1:{}", first["seal"].as_str().unwrap()), format!("1:{}", "0".repeat(64)));
    let verify = |head: &str, more: &[&str]| host.run(&[&["audit", "verify", "--head", head], more].concat()).status.success();
    let with = ["--archive", "first.jsonl"];
    assert!(!verify(&right, &[]), "of what is archived only the archive tells");
    assert!(verify(&right, &with) && !verify(&wrong, &with));
    fs::write(&file, text.replacen("\"tenant\":\"acme\"", "\"tenant\":\"acmf\"", 1)).unwrap();
    assert_eq!(host.run(&["audit", "verify", "--archive", "first.jsonl"]).status.code(), Some(1), "of another tenant");
    fs::write(&file, text.replacen("tenant", "tenanT", 1)).unwrap();
    let verdict = host.run(&["audit", "verify", "--archive", "first.jsonl"]);
    assert_eq!(verdict.status.code(), Some(1));
    let words = String::from_utf8(verdict.stdout).unwrap();
    assert!(words.contains("acme: 1 rows hold") && words.contains("archived ones do not"), "both verdicts are given: {words}");
    let cut: Vec<&str> = text.lines().skip(1).collect();
    fs::write(&file, cut.join("\n")).unwrap();
    assert_eq!(host.run(&["audit", "verify", "--archive", "first.jsonl"]).status.code(), Some(1));
}

#[test]
fn what_needs_attention_is_listed_until_somebody_resolves_it() {
    let host = Host::new();
    assert!(host.run(&["apply", "acme.toml"]).status.success());
    assert_eq!(String::from_utf8(host.run(&["attention"]).stdout).unwrap(), "nothing needs attention\n");
    assert_eq!(host.json(&["attention", "--json"]), json!([]));
    for _ in 0..2 {
        assert!(host.run(&["owner", "recover"]).status.success());
    }
    let open = host.json(&["attention", "--json"]);
    assert_eq!(open.as_array().unwrap().len(), 1, "told once while it is open: {open}");
    assert_eq!(keys(&open[0]), ["id", "tenant", "at", "kind", "connection", "account", "user_name", "looks_like_owner", "detail"]);
    assert_eq!((&open[0]["kind"], &open[0]["user_name"]), (&json!("owner.recovered"), &json!("owner@acme.example")));
    let id = open[0]["id"].as_str().unwrap();
    let words = String::from_utf8(host.run(&["attention"]).stdout).unwrap();
    assert!(words.starts_with(id) && words.contains("owner.recovered owner@acme.example: "), "{words}");
    let resolved = host.run(&["attention", "resolve", id]);
    assert_eq!(String::from_utf8(resolved.stdout).unwrap(), format!("{id} is resolved\n"));
    let (status, why) = refused(&host.run(&["attention", "resolve", id]));
    assert!(status == 1 && why.contains("nothing open has the id") && why.contains("`rolegate attention` lists"), "{why}");
    assert_eq!(host.run(&["attention", "resolve", "x"]).status.code(), Some(2));
    assert_eq!(host.json(&["attention", "--json"]), json!([]));
    let trail = String::from_utf8(host.run(&["audit", "export"]).stdout).unwrap();
    let last: Value = serde_json::from_str(trail.lines().last().unwrap()).unwrap();
    assert_eq!((&last["action"], &last["target"]["id"]), (&json!("attention.resolved"), &json!(id)));
    // What happens again is raised again.
    assert!(host.run(&["owner", "recover"]).status.success());
    assert_eq!(host.json(&["attention", "--json"]).as_array().unwrap().len(), 1);
}

/// Answers every request with the document, as plain HTTP; where.
fn serve_document(document: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/metadata", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            while lines.next().is_some_and(|line| !line.unwrap().is_empty()) {}
            let length = document.len();
            write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{document}").unwrap();
        }
    });
    url
}

#[test]
fn metadata_that_a_file_names_is_not_fetched_from_an_inner_network_unless_that_is_meant() {
    let host = Host::new();
    let url = serve_document(metadata_xml(ENTITY_ID, SSO_URL, &[&KEY]));
    fs::write(host.0.path().join("fetched.toml"), format!("{FILE}[connections.saml]\nenabled = true\nidp_metadata_url = \"{url}\"\n"))
        .unwrap();
    for command in ["plan", "apply"] {
        let (status, why) = refused(&host.run(&[command, "fetched.toml"]));
        assert_eq!(status, 1);
        assert!(why.contains("line 17: connections.saml.idp_metadata_url: ") && why.contains("outbound_networks"), "{why}");
    }
    assert_eq!(host.json(&["accounts", "--json"]), json!([]), "nothing was written");
    let meant = host.with(&[("ROLEGATE_OUTBOUND_NETWORKS", "127.0.0.0/8")], &["apply", "fetched.toml"]);
    let words = String::from_utf8(meant.stdout).unwrap();
    assert!(meant.status.success() && words.contains("+ certificate of acme-okta"), "{words}{}", String::from_utf8_lossy(&meant.stderr));
}

#[tokio::test]
async fn browsers_are_not_sent_to_an_identity_provider_over_plain_http() {
    let host = Host::new();
    let write = |address: &str| {
        fs::write(host.0.path().join("idp.xml"), metadata_xml(ENTITY_ID, address, &[&KEY])).unwrap();
        fs::write(host.0.path().join("saml.toml"), format!("{FILE}[connections.saml]\nenabled = true\nidp_metadata = \"idp.xml\"\n"))
            .unwrap();
    };
    write("http://idp.example/sso");
    for command in ["plan", "apply"] {
        let (status, why) = refused(&host.run(&[command, "saml.toml"]));
        assert!(status == 1 && why.contains("saml.toml, line 17: ") && why.contains("\"http://idp.example/sso\" is plain http"), "{why}");
    }
    write("http://127.0.0.1:9/sso");
    assert!(host.run(&["apply", "saml.toml"]).status.success());
    let (_, why) = refused(&host.run(&["metadata", "import", "--connection", "acme-okta", "plain.xml"]));
    assert!(why.contains("plain.xml"), "{why}");
    fs::write(host.0.path().join("plain.xml"), metadata_xml(ENTITY_ID, "http://idp.example/sso", &[&KEY])).unwrap();
    let (_, why) = refused(&host.run(&["metadata", "import", "--connection", "acme-okta", "plain.xml"]));
    assert!(why.contains("is plain http"), "{why}");
    // As a release before stored it: sign-ins go on, and the operator is told.
    let db = Db::open(&format!("sqlite://{}", host.0.path().join("rolegate.db").display()), PoolSize(1)).await.unwrap();
    let mut tx = db.begin().await.unwrap();
    let sql = "update connection set saml = replace(saml, 'http://127.0.0.1:9/sso', 'http://idp.example/sso')";
    assert_eq!(tx.query(sql).run().await.unwrap(), 1);
    tx.commit().await.unwrap();
    let told = String::from_utf8(host.run(&["check"]).stdout).unwrap();
    assert!(
        told.contains("WARNING  ") && told.contains("acme-okta: browsers are sent to http://idp.example/sso over plain http"),
        "{told}"
    );
}

#[test]
fn why_somebody_held_a_role_is_said_for_any_time() {
    let host = Host::new();
    assert!(host.run(&["apply", "acme.toml"]).status.success());
    let ask = |at: &str| host.json(&["why", "--account", "owner@acme.example", "--role", "Organization Owner", "--at", at, "--json"]);
    let now = rolegate::app::Clock::System.now().to_string();
    assert_eq!(ask(&now)["because"][0]["origin"], "bootstrap");
    assert_eq!(ask("2020-01-01T00:00:00Z")["held"], false);
    let words = host.run(&["why", "--account", "owner@acme.example", "--role", "Organization Owner", "--at", &now]);
    let words = String::from_utf8(words.stdout).unwrap();
    assert!(words.contains("held Organization Owner") && words.contains("bootstrap, by host_operator"), "{words}");
    let later = host.run(&["why", "--account", "owner@acme.example", "--role", "Organization Owner", "--at", "2999-01-01T00:00:00Z"]);
    assert_eq!(refused(&later), (1, "rolegate: 2999-01-01T00:00:00Z is in the future: name a time that is past\n".to_owned()));
    let nobody = host.run(&["why", "--account", "x", "--role", "y", "--at", "2026-01-01T00:00:00Z"]);
    assert!(refused(&nobody).1.contains("there is no account"));
}

#[tokio::test]
async fn applications_get_tokens_that_are_listed_and_revoked() {
    let host = Host::new();
    assert!(host.run(&["apply", "acme.toml"]).status.success());
    let made = host.json(&["app-token", "create", "--name", "dashboard", "--ttl", "30d", "--json"]);
    assert!(made["token"].as_str().unwrap().starts_with("rg_app_"));
    let id = made["id"].as_str().unwrap();
    let listed = host.json(&["app-token", "list", "--json"]);
    assert_eq!(
        (&listed[0]["name"], &listed[0]["organization"], &listed[0]["state"]),
        (&json!("dashboard"), &json!("acme"), &json!("live"))
    );
    assert!(!listed.to_string().contains("rg_app_"));
    // As if it had an owner whose account is gone.
    let db = Db::open(&format!("sqlite://{}", host.0.path().join("rolegate.db").display()), PoolSize(1)).await.unwrap();
    let mut tx = db.begin().await.unwrap();
    tx.query("update app_token set owner = '01900000-0000-7000-8000-000000000002'").run().await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(host.json(&["app-token", "list", "--json"])[0]["state"], "unbacked");
    let words = String::from_utf8(host.run(&["app-token", "list"]).stdout).unwrap();
    assert!(words.contains("unbacked (its owner could not make it any more"), "{words}");
    assert!(host.run(&["app-token", "revoke", id]).status.success());
    assert_eq!(host.json(&["app-token", "list", "--json"])[0]["state"], "revoked");
    assert!(refused(&host.run(&["app-token", "create", "--name", "x", "--ttl", "400d"])).1.contains("366 days"));
    assert!(refused(&host.run(&["app-token", "create", "--name", "x", "--organization", "y"])).1.contains("no organization"));
    assert!(refused(&host.run(&["app-token", "revoke", "01900000-0000-7000-8000-000000000001"])).1.contains("no token"));
}

/// Names as a release before could store them.
#[tokio::test]
async fn no_control_or_bidirectional_character_reaches_the_terminal() {
    let name = "ada\u{1b}[2J\u{202e}nimda\n\u{9b}31m";
    let shown = r"ada\u{1b}[2J\u{202e}nimda\n\u{9b}31m";
    let host = Host::new();
    host.json(&["apply", "acme.toml", "--json"]);
    let db = Db::open(&format!("sqlite://{}", host.0.path().join("rolegate.db").display()), PoolSize(1)).await.unwrap();
    let mut tx = db.begin().await.unwrap();
    let sql = "update account set user_name = $1, email = $1, user_name_key = $1, email_key = $1";
    assert_eq!(tx.query(sql).bind(name.to_owned()).run().await.unwrap(), 1);
    let sql = "update role set name = $1, name_key = $1 where name = 'Organization Member'";
    assert_eq!(tx.query(sql).bind(name.to_owned()).run().await.unwrap(), 1);
    tx.commit().await.unwrap();
    let commands: [&[&str]; 6] = [
        &["accounts"],
        &["assignments"],
        &["why", "--account", name, "--role", name, "--at", "2026-03-03T12:00:00Z"],
        &["why", "--account", "bob\u{202e}", "--role", "x", "--at", "2026-03-03T12:00:00Z"],
        &["token", "create", "--connection", "bob\u{202e}"],
        &["plan", "acme.toml\u{202e}"],
    ];
    for command in commands {
        let output = host.run(command);
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8(said).unwrap();
        assert!(!said.chars().any(|c| is_control_or_bidi(c) && c != '\n'), "{command:?}: {said:?}");
        assert!(said.contains(r"\u{202e}"), "{command:?}: {said}");
    }
    let listed = String::from_utf8(host.run(&["accounts"]).stdout).unwrap();
    assert_eq!(listed.lines().next().unwrap(), format!("{shown}  local"));
    let output = host.run(&["accounts", "--json"]).stdout;
    let text = String::from_utf8(output).unwrap();
    assert!(!text.chars().any(|c| is_control_or_bidi(c) && c != '\n'), "{text:?}");
    let json: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json[0]["account"]["user_name"], name, "a program reads the name as it is");
}
