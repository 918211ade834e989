//! `rolegate check`: looks, and leaves nothing changed.

use std::path::Path;

use clap::Args;
use serde::Serialize;
use serde_json::json;

use super::{Context, Failure, Output};
use crate::{
    admin::warning::{self, Warning},
    app::{self, Clock, Migrations, Random, clock::ClockOff},
    db::{
        self, Db,
        certificate::CertificateState,
        token::{ScimTokenRow, TokenState},
    },
    domain::{name::Slug, time::Timestamp},
    keys::Keys,
};

#[derive(Debug, Args)]
pub struct Check {
    /// Certificates that expire within so many days are a warning
    #[arg(long, value_name = "DAYS", default_value_t = 30)]
    expiry_days: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Grade {
    Fine,
    Warning,
    Failed,
}

#[derive(Debug, Serialize)]
struct Finding {
    check: &'static str,
    grade: Grade,
    detail: String,
}

impl Check {
    pub(super) async fn run(self, context: Context, output: &mut Output) -> Result<(), Failure> {
        let mut findings = Vec::new();
        let mut note = |check, grade, detail: String| findings.push(Finding { check, grade, detail });
        let config = &context.config;
        note("configuration", Grade::Fine, format!("{} behind {}", config.listen, config.public_url));
        match open(&context).await {
            Err(why) => note("database", Grade::Failed, why),
            Ok(db) => {
                match db::probe::write(&db, &probe_id()).await {
                    Ok(()) => note("database", Grade::Fine, config.database_shown()),
                    Err(error) => note("database", Grade::Failed, format!("it takes no writes: {}", Failure::from(error).message())),
                }
                let (grade, detail) = clock(&db).await?;
                note("clock", grade, detail);
                let (grade, detail) = master_key(&db, &config.master_key_file).await?;
                note("master key", grade, detail);
                for (check, grade, detail) in tenants(&db, Clock::System.now()).await? {
                    note(check, grade, detail);
                }
                for (grade, detail) in certificates(&db, Clock::System.now(), self.expiry_days).await? {
                    note("certificate", grade, detail);
                }
            }
        }
        let failed = findings.iter().filter(|finding| finding.grade == Grade::Failed).count();
        if context.json {
            output.json(&json!({ "ok": failed == 0, "findings": findings }))?;
        } else {
            for finding in &findings {
                let word = match finding.grade {
                    Grade::Fine => "fine   ",
                    Grade::Warning => "WARNING",
                    Grade::Failed => "FAILED ",
                };
                output.line(format!("{word}  {}: {}", finding.check, finding.detail))?;
            }
        }
        output.finish()?;
        let first = findings.into_iter().find(|finding| finding.grade == Grade::Failed);
        first.map_or(Ok(()), |finding| Err(Failure::new(format!("{}: {}", finding.check, finding.detail))))
    }
}

/// Opening would make a SQLite file; a check does not.
async fn open(context: &Context) -> Result<Db, String> {
    let address = context.config.database_url.expose();
    let path =
        address.strip_prefix("sqlite://").or_else(|| address.strip_prefix("sqlite:")).map(|rest| rest.split('?').next().unwrap_or(rest));
    if let Some(path) = path.filter(|path| !path.contains(":memory:") && !Path::new(path).exists()) {
        return Err(format!("{path} is not there: `rolegate serve` or `rolegate apply` makes it"));
    }
    app::open_database(&context.config, Migrations::Leave).await.map_err(|error| Failure::from(error).message().to_owned())
}

fn probe_id() -> String {
    format!("{:032x}", u128::from_be_bytes(Random::System.bytes()))
}

/// Whether this machine's clock is the database's.
async fn clock(db: &Db) -> Result<(Grade, String), Failure> {
    let Some(database) = db::probe::clock(db).await? else { return Ok((Grade::Fine, "the database has this machine's".to_owned())) };
    Ok(match ClockOff::find(database.millis() - Clock::System.now().millis()) {
        Some(off) => (Grade::Failed, off.to_string()),
        None => (Grade::Fine, "as the database's".to_owned()),
    })
}

async fn master_key(db: &Db, path: &Path) -> Result<(Grade, String), Failure> {
    let kept = db::installation::find_key_check(db).await?;
    Ok(match (Keys::find(path), kept) {
        (Err(error), _) => (Grade::Failed, Failure::from(error).message().to_owned()),
        (Ok(Some(keys)), Some(check)) if keys.gives(&check) => (Grade::Fine, path.display().to_string()),
        (Ok(Some(_)), Some(_)) => (Grade::Failed, format!("{} is not the key of this database", path.display())),
        (Ok(None), Some(_)) => (Grade::Failed, format!("{} is not there, and the database was written with a key", path.display())),
        (Ok(_), None) => (Grade::Fine, "the database has none yet".to_owned()),
    })
}

/// Owners, connections without a certificate, and SCIM tokens that end.
async fn tenants(db: &Db, now: Timestamp) -> Result<Vec<(&'static str, Grade, String)>, Failure> {
    let mut found = Vec::new();
    for tenant in db::tenant::list_tenants(db).await? {
        // Never committed: a check writes nothing.
        let mut tx = db.begin().await?;
        for warning in warning::of_tenant(&mut tx, &tenant).await? {
            let (check, grade) = match warning {
                Warning::NoCertificate { .. } => ("certificate", Grade::Failed),
                Warning::NoKey { .. } => ("service provider key", Grade::Failed),
                Warning::BelowFloor { .. } => ("owners", Grade::Warning),
                // Said of files alone.
                Warning::Retired { .. } => ("certificate", Grade::Warning),
                Warning::Unmapped { .. } => ("rules", Grade::Warning),
                Warning::PlainHttp { .. } => ("identity provider", Grade::Warning),
            };
            found.push((check, grade, warning.to_string()));
        }
        drop(tx);
        for connection in db::connection::list_connections(db, tenant.id).await?.into_iter().map(|row| row.connection) {
            if connection.enabled && connection.scim.enabled {
                let tokens = db::token::list_tokens(db, tenant.id, connection.id).await?;
                found.extend(endings(&connection.slug, &tokens, now).into_iter().map(|detail| ("SCIM token", Grade::Warning, detail)));
            }
        }
    }
    Ok(found)
}

/// Tokens that end soon, or that there is none any more because the last one ended.
fn endings(slug: &Slug, tokens: &[ScimTokenRow], now: Timestamp) -> Vec<String> {
    const SOON_SECS: i64 = 14 * 86_400;
    let is_live = |token: &&ScimTokenRow| token.state_at(now) == TokenState::Live;
    let next = format!("make the next one with `rolegate token create --connection {slug}` and give it to the identity provider");
    if !tokens.iter().any(|token| is_live(&token)) {
        let expired = tokens.iter().filter(|token| token.state_at(now) == TokenState::Expired).map(|token| token.expires_at).max();
        return expired
            .map(|at| format!("{slug}: the last token expired at {at}, so that no request is let in: {next}"))
            .into_iter()
            .collect();
    }
    let soon = tokens.iter().filter(is_live).filter(|token| token.expires_at < now.plus_secs(SOON_SECS));
    soon.map(|token| format!("{slug}: the token {} expires at {}: {next}, then revoke this one", token.id, token.expires_at)).collect()
}

/// Of identity providers: an expired one, or one that soon is, is an owner's to replace.
async fn certificates(db: &Db, now: Timestamp, expiry_days: u16) -> Result<Vec<(Grade, String)>, Failure> {
    let soon = now.plus_secs(i64::from(expiry_days) * 86_400);
    let mut found = Vec::new();
    for tenant in db::tenant::list_tenants(db).await? {
        let connections = db::connection::list_connections(db, tenant.id).await?;
        for row in db::certificate::list_certificates_of_tenant(db, tenant.id).await? {
            let connection = connections.iter().map(|known| &known.connection).find(|known| known.id == row.connection);
            let Some(connection) = connection.filter(|known| known.signs_in()) else { continue };
            if row.state == CertificateState::Retired {
                continue;
            }
            let grade = match row.not_after {
                until if until < now => Grade::Failed,
                until if until < soon => Grade::Warning,
                _ => Grade::Fine,
            };
            let short = row.fingerprint.get(..16).unwrap_or(&row.fingerprint);
            let word = if grade == Grade::Failed { "expired" } else { "counts until" };
            found.push((
                grade,
                format!("{} of {}: {} (SHA-256 {short}…) {word} {}", tenant.slug, connection.slug, row.subject, row.not_after),
            ));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::domain::id::{ConnectionId, TokenId};

    #[test]
    fn tokens_that_end_are_told_before_and_after() {
        let now = Timestamp::from_millis(1_772_500_000_000);
        let token = |days: i64, revoked: bool| ScimTokenRow {
            id: TokenId::new(Uuid::from_u128(1)),
            connection: ConnectionId::new(Uuid::from_u128(2)),
            created_at: now,
            expires_at: now.plus_secs(days * 86_400),
            revoked_at: revoked.then_some(now),
            last_used_at: None,
        };
        let slug = Slug::parse("okta").unwrap();
        let told = |tokens: &[ScimTokenRow]| endings(&slug, tokens, now).join("\n");
        assert_eq!(told(&[]), "");
        assert_eq!(told(&[token(15, false)]), "");
        assert_eq!(told(&[token(-1, false), token(90, false)]), "", "another one is live");
        assert_eq!(told(&[token(-1, true)]), "", "somebody revoked it");
        assert!(told(&[token(13, false)]).contains("expires at"));
        assert!(told(&[token(13, false), token(90, false)]).contains("expires at"), "the identity provider may still use it");
        assert!(told(&[token(-1, false), token(-3, false)]).starts_with("okta: the last token expired at 2026-03-02"));
    }
}
