//! `rolegate audit verify|export|archive`

mod archive;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;

use super::{Context, Failure, NO_TENANT, Output, find_tenant, tenants};
use crate::{
    admin::{audit_line::AuditLine, audit_trail::PAGE},
    db::{self, seal::Head},
};

#[derive(Debug, Subcommand)]
pub enum Audit {
    /// Check that no sealed row was changed, removed or put in
    Verify(Verify),
    /// Print sealed rows as JSON lines
    Export(Export),
    /// Move the oldest rows to a file; the chain stays verifiable
    Archive(archive::Archive),
}

#[derive(Debug, Args)]
pub struct Verify {
    /// Only of this tenant
    #[arg(long, value_name = "SLUG")]
    tenant: Option<String>,
    /// A head that was written down earlier (NUMBER:SEAL): nothing up to it may be missing
    #[arg(long, value_name = "HEAD", value_parser = parse_head)]
    head: Option<Head>,
    /// An archive, which is checked too; all of them, in their order
    #[arg(long, value_name = "FILE")]
    archive: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub struct Export {
    /// Which tenant, where there are several
    #[arg(long, value_name = "SLUG")]
    tenant: Option<String>,
    /// Begin after this number
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    after: i64,
}

fn parse_head(text: &str) -> Result<Head, String> {
    let refused = || format!("{text:?} is not a head: NUMBER:SEAL was expected, as `audit verify` prints it");
    let (number, seal) = text.split_once(':').ok_or_else(refused)?;
    let sound = seal.len() == 64 && seal.chars().all(|c| c.is_ascii_hexdigit());
    let number = number.parse().ok().filter(|number| *number > 0 && sound).ok_or_else(refused)?;
    Ok(Head { number, seal: seal.to_owned() })
}

impl Audit {
    pub(super) async fn run(self, context: Context, output: &mut Output) -> Result<(), Failure> {
        match self {
            Self::Verify(verify) => verify.run(context, output).await,
            Self::Export(export) => export.run(context, output).await,
            Self::Archive(archive) => archive.run(context, output).await,
        }
    }
}

impl Verify {
    async fn run(self, context: Context, output: &mut Output) -> Result<(), Failure> {
        let json = context.json;
        let app = context.open().await?;
        let tenants = if self.head.is_some() || !self.archive.is_empty() {
            vec![find_tenant(&app.db, self.tenant.as_deref()).await?]
        } else {
            tenants(&app.db, self.tenant.as_deref()).await?
        };
        if tenants.is_empty() && !json {
            return output.line(NO_TENANT);
        }
        let mut shown = Vec::new();
        let mut broken = Vec::new();
        for tenant in tenants {
            let verdict = db::seal::verify(&app.db, tenant.id, &app.keys.chain(), self.head.as_ref()).await?;
            let head = verdict.head.to_string();
            if let Some(found) = &verdict.broken {
                broken.push(format!("{} at number {}: {}", tenant.slug, found.number, found.why));
            }
            let followed = if self.archive.is_empty() {
                Ok(())
            } else {
                archive::verify(&app.keys.chain(), &tenant, &self.archive, self.head.as_ref(), &verdict.anchor)
            };
            if let Err(failure) = &followed {
                broken.push(failure.message().to_owned());
            }
            let archived = verdict.anchor.number;
            if let Some(head) = self.head.as_ref().filter(|head| self.archive.is_empty() && head.number < archived) {
                broken.push(format!(
                    "number {} is archived: whether its head is right, only the archives tell (--archive FILE)",
                    head.number
                ));
            }
            if json {
                let found = verdict.broken.as_ref().map(|found| json!({ "number": found.number, "why": found.why }));
                shown.push(
                    json!({ "tenant": tenant.slug, "rows": verdict.rows, "archived": archived, "archives": followed.as_ref().err().map(Failure::message), "unsealed": verdict.unsealed, "head": head, "broken": found }),
                );
            } else {
                let pruned = match (archived, self.archive.is_empty(), &followed) {
                    (0, ..) => String::new(),
                    (rows, true, _) => format!(", {rows} archived (check them with --archive FILE)"),
                    (rows, false, Ok(())) => format!(", {rows} archived ones too"),
                    (rows, false, Err(_)) => format!(", {rows} archived ones do not"),
                };
                output.line(format!(
                    "{}: {} rows hold{pruned}, {} not sealed yet, head {head}",
                    tenant.slug, verdict.rows, verdict.unsealed
                ))?;
            }
        }
        if json {
            output.json(&shown)?;
        }
        output.finish()?;
        if broken.is_empty() { Ok(()) } else { Err(Failure::new(format!("the audit chain is broken: {}", broken.join("; ")))) }
    }
}

impl Export {
    async fn run(self, context: Context, output: &mut Output) -> Result<(), Failure> {
        let db = context.database().await?;
        let tenant = find_tenant(&db, self.tenant.as_deref()).await?;
        let mut after = self.after;
        loop {
            let rows = db::audit::list_audit(&db, tenant.id, after, PAGE).await?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = last.number;
            for row in rows {
                output.json_line(&AuditLine::new(tenant.slug.as_str(), row))?;
            }
        }
    }
}
