//! `rolegate audit archive`

use std::{
    fs::{File, OpenOptions},
    io::{BufReader, BufWriter},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use clap::Args;
use serde_json::json;

use crate::{
    admin::archive::{self, Archived},
    app::App,
    cli::{Context, Failure, Output, find_tenant, plan::correlation},
    db::{
        seal::{ChainKey, Head},
        tenant::Tenant,
    },
    domain::{actor::Actor, time::Timestamp},
};

#[derive(Debug, Args)]
pub struct Archive {
    /// Rows older than this time, up to the first that is not: 2026-01-01T00:00:00Z
    #[arg(long, value_name = "TIME", value_parser = Timestamp::parse)]
    before: Timestamp,
    /// Where they go; a file that is there already is left alone
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Which tenant, where there are several
    #[arg(long, value_name = "SLUG")]
    tenant: Option<String>,
}

impl Archive {
    pub(super) async fn run(self, context: Context, output: &mut Output) -> Result<(), Failure> {
        let json = context.json;
        let app = context.open().await?;
        let tenant = find_tenant(&app.db, self.tenant.as_deref()).await?;
        if self.before > app.now() {
            return Err(Failure::new(format!("--before {} is in the future: name a time that is past", self.before)));
        }
        app.seal(tenant.id).await;
        let key = app.keys.chain();
        let failed = |error: &dyn std::fmt::Display| Failure::new(format!("{}: {error}", self.out.display()));
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&self.out).map_err(|error| failed(&error))?;
        let archived = match self.write(&app, &tenant, &key, file).await {
            Ok(archived) => archived,
            Err(failure) => {
                // Half an archive is none, and would be in the way of the next one.
                std::fs::remove_file(&self.out).map_err(|error| failed(&error))?;
                return Err(failure);
            }
        };
        if archived.rows() == 0 {
            std::fs::remove_file(&self.out).map_err(|error| failed(&error))?;
            return output.line(format!("{}: no row is older than {}", tenant.slug, self.before));
        }
        let mut occasion = app.occasion(Actor::HostOperator, correlation(&app.random));
        let pruned = archive::prune(&app.db, tenant.id, &key, &mut occasion, &archived).await?;
        app.seal(tenant.id).await;
        let (first, last) = (archived.from.number + 1, archived.last().number);
        if json {
            return output.json(&json!({ "tenant": tenant.slug, "first": first, "last": last, "rows": pruned, "file": self.out }));
        }
        output.line(format!("{}: rows {first} to {last} are in {} and out of the database", tenant.slug, self.out.display()))
    }

    /// Nothing is pruned before the file was read back.
    async fn write(&self, app: &App, tenant: &Tenant, key: &ChainKey, file: File) -> Result<Archived, Failure> {
        let failed = |error: &dyn std::fmt::Display| Failure::new(format!("{}: {error}", self.out.display()));
        let mut to = BufWriter::new(file);
        let archived = archive::write(&app.db, tenant.id, tenant.slug.as_str(), key, self.before, &mut to).await?;
        to.into_inner().map_err(|error| failed(&error))?.sync_all().map_err(|error| failed(&error))?;
        let written = archive::read(key, (tenant.id, tenant.slug.as_str()), archived.from.clone(), None, open(&self.out)?)?;
        if written == *archived.last() { Ok(archived) } else { Err(failed(&"what was written does not read back; nothing was pruned")) }
    }
}

fn open(path: &Path) -> Result<BufReader<File>, Failure> {
    File::open(path).map(BufReader::new).map_err(|error| Failure::new(format!("{}: {error}", path.display())))
}

/// Follows the chain through archives, which must end where the database goes on. `exported` is a head written down earlier.
pub(super) fn verify(key: &ChainKey, tenant: &Tenant, archives: &[PathBuf], exported: Option<&Head>, anchor: &Head) -> Result<(), Failure> {
    let mut head = Head::none();
    for path in archives {
        let read = archive::read(key, (tenant.id, tenant.slug.as_str()), head, exported, open(path)?);
        head = read.map_err(|error| Failure::new(format!("{}: {error}", path.display())))?;
    }
    if head == *anchor {
        return Ok(());
    }
    let (ends, begins) = (head.number, anchor.number + 1);
    Err(Failure::new(format!("the archives end at number {ends}, and the database begins at {begins}: give all archives, in their order")))
}
