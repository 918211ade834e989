//! `rolegate attention [resolve ID]`

use std::collections::{BTreeMap, BTreeSet};

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{Context, Failure, Output, find_tenant, plan::correlation, tenants};
use crate::{
    admin::attention,
    db::{self, Db, DbError, attention::Attention as Item, tenant::Tenant},
    domain::{
        actor::Actor,
        id::{AccountId, ConnectionId, EventId},
    },
};

/// How many are read at once.
const PAGE: i64 = 1000;

#[derive(Debug, Args)]
pub struct Attention {
    /// Only of this tenant
    #[arg(long, global = true, value_name = "SLUG")]
    tenant: Option<String>,
    #[command(subcommand)]
    step: Option<Step>,
}

#[derive(Debug, Subcommand)]
enum Step {
    /// Say that it was looked at; what happens again is raised again
    Resolve {
        /// The id, as the list shows it
        #[arg(value_parser = EventId::parse)]
        id: EventId,
    },
}

impl Attention {
    pub(super) async fn run(self, context: Context, output: &mut Output) -> Result<(), Failure> {
        match self.step {
            None => list(self.tenant.as_deref(), context, output).await,
            Some(Step::Resolve { id }) => resolve(self.tenant.as_deref(), id, context, output).await,
        }
    }
}

async fn resolve(tenant: Option<&str>, id: EventId, context: Context, output: &mut Output) -> Result<(), Failure> {
    let json_wanted = context.json;
    let app = context.open().await?;
    let tenant = find_tenant(&app.db, tenant).await?;
    let mut occasion = app.occasion(Actor::HostOperator, correlation(&app.random));
    attention::resolve(&app.db, tenant.id, &mut occasion, id).await?;
    if json_wanted {
        output.json(&json!({ "id": id, "resolved": true }))?;
    } else {
        output.line(format!("{id} is resolved"))?;
    }
    output.finish()?;
    app.seal(tenant.id).await;
    Ok(())
}

async fn list(tenant: Option<&str>, context: Context, output: &mut Output) -> Result<(), Failure> {
    let db = context.database().await?;
    let (mut shown, mut found) = (Vec::new(), false);
    for tenant in tenants(&db, tenant).await? {
        let mut after = None;
        loop {
            let items = db::attention::list_open(&db, tenant.id, after, PAGE).await?;
            let Some(last) = items.last() else { break };
            (after, found) = (Some(last.id), true);
            let names = Names::of(&db, &tenant, &items).await?;
            if context.json {
                shown.extend(items.iter().map(|item| names.document(&tenant, item)));
            } else {
                items.iter().try_for_each(|item| output.line(names.words(item)))?;
            }
        }
    }
    match (context.json, found) {
        (true, _) => output.json(&shown),
        (false, true) => Ok(()),
        (false, false) => output.line("nothing needs attention"),
    }
}

/// What the ids of some items are called.
struct Names {
    connections: BTreeMap<ConnectionId, String>,
    accounts: BTreeMap<AccountId, String>,
    /// Accounts that a directory names like an owner.
    alike: BTreeSet<AccountId>,
}

impl Names {
    async fn of(db: &Db, tenant: &Tenant, items: &[Item]) -> Result<Self, DbError> {
        let connections = db::connection::list_connections(db, tenant.id).await?.into_iter().map(|row| row.connection);
        let ids: Vec<_> = items.iter().filter_map(|item| item.account).collect();
        let accounts = db::listing::name_accounts(db, tenant.id, &ids).await?;
        let alike = db::people::look_like_owners(db, tenant.id, &ids).await?;
        Ok(Self { connections: connections.map(|connection| (connection.id, connection.slug.to_string())).collect(), accounts, alike })
    }

    fn looks_like_owner(&self, item: &Item) -> bool {
        item.account.is_some_and(|account| self.alike.contains(&account))
    }

    fn connection(&self, item: &Item) -> Option<&String> {
        self.connections.get(&item.connection?)
    }

    fn account(&self, item: &Item) -> Option<&String> {
        self.accounts.get(&item.account?)
    }

    fn document(&self, tenant: &Tenant, item: &Item) -> Value {
        json!({
            "id": item.id,
            "tenant": tenant.slug,
            "at": item.at.to_string(),
            "kind": item.kind,
            "connection": self.connection(item),
            "account": item.account,
            "user_name": self.account(item),
            "looks_like_owner": self.looks_like_owner(item),
            "detail": item.detail,
        })
    }

    fn words(&self, item: &Item) -> String {
        let about: Vec<&str> =
            [Some(&item.kind), self.connection(item), self.account(item)].into_iter().flatten().map(String::as_str).collect();
        let what = item.detail.get("message").and_then(Value::as_str).map_or_else(|| item.detail.to_string(), str::to_owned);
        let alike = if self.looks_like_owner(item) { " (looks like an owner)" } else { "" };
        format!("{}  {}  {}{alike}: {what}", item.id, item.at, about.join(" "))
    }
}
