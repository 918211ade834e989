//! Accounts and assignments as people and programs are shown them: names instead of ids, and every origin, so that each assignment
//! says why it is there. The JSON of these values is a contract.

use std::collections::HashMap;

use serde::Serialize;

use crate::{
    db::{
        Db, DbError,
        listing::{self, ListedAccount, ListedOrigin},
    },
    domain::{
        account::SignInStatus,
        id::{AccountId, TenantId},
        time::Timestamp,
    },
    policy::mapping::Mapping,
};

/// An account with what it holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Row {
    pub account: Account,
    pub assignments: Vec<Assignment>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Account {
    pub id: String,
    pub user_name: String,
    pub email: Option<String>,
    pub display_name: Option<String>,
    pub active: bool,
    /// The slug of the connection whose facts name the account; a local account has none.
    pub connection: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Assignment {
    pub role: String,
    /// The slug.
    pub organization: String,
    pub reach: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_scope: Option<String>,
    pub origins: Vec<Origin>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Origin {
    pub kind: String,
    /// The slug.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection: Option<String>,
    /// The rule's name; its id when no rule of the published mapping has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// The account that granted it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    pub since: String,
}

/// Accounts a page holds.
pub const PAGE: i64 = 500;

/// A page of accounts after one; the next page begins after the last row's account, and a page of fewer than [`PAGE`] is the last.
pub async fn list_accounts(db: &Db, tenant: TenantId, filter: Option<&str>, after: Option<AccountId>) -> Result<Vec<Row>, DbError> {
    let accounts = listing::list_accounts(db, tenant, filter, after, PAGE).await?;
    with_assignments(db, tenant, accounts).await
}

/// Every account of exactly this user name, e-mail address or id.
pub async fn find_accounts(db: &Db, tenant: TenantId, name: &str) -> Result<Vec<Row>, DbError> {
    let accounts = listing::find_accounts(db, tenant, name).await?;
    with_assignments(db, tenant, accounts).await
}

/// One account by its id.
pub async fn find_account(db: &Db, tenant: TenantId, account: AccountId) -> Result<Option<Row>, DbError> {
    Ok(find_accounts(db, tenant, &account.to_string()).await?.into_iter().find(|row| row.account.id == account.to_string()))
}

async fn with_assignments(db: &Db, tenant: TenantId, accounts: Vec<ListedAccount>) -> Result<Vec<Row>, DbError> {
    let ids: Vec<_> = accounts.iter().map(|account| account.id.as_str()).collect();
    let origins = listing::list_origins(db, tenant, &ids).await?;
    let rules = if origins.iter().any(|origin| !origin.rule.is_empty()) { rule_names(db, tenant).await? } else { HashMap::new() };
    Ok(assemble(accounts, origins, &rules))
}

/// Names of rules by their ids, as they are published now.
async fn rule_names(db: &Db, tenant: TenantId) -> Result<HashMap<String, String>, DbError> {
    let mappings = listing::list_published_mappings::<Mapping>(db, tenant).await?;
    Ok(mappings.into_iter().flat_map(|(_, mapping)| mapping.rules).map(|rule| (rule.id.to_string(), rule.name)).collect())
}

fn assemble(accounts: Vec<ListedAccount>, origins: Vec<ListedOrigin>, rules: &HashMap<String, String>) -> Vec<Row> {
    let mut held: HashMap<String, Vec<(String, Assignment)>> = HashMap::new();
    for row in origins {
        let origin = Origin {
            kind: row.kind,
            connection: row.connection,
            rule: (!row.rule.is_empty()).then(|| rules.get(&row.rule).cloned().unwrap_or(row.rule)),
            by: row.granted_by,
            since: Timestamp::from_millis(row.since_ms).to_string(),
        };
        let assignments = held.entry(row.account).or_default();
        match assignments.last_mut() {
            Some((id, last)) if *id == row.assignment => last.origins.push(origin),
            _ => {
                let (role, organization, reach, resource_scope) = (row.role, row.organization, row.reach, row.resource_scope);
                assignments.push((row.assignment, Assignment { role, organization, reach, resource_scope, origins: vec![origin] }));
            }
        }
    }
    let mut row = |account: ListedAccount| Row {
        assignments: held.remove(&account.id).unwrap_or_default().into_iter().map(|(_, assignment)| assignment).collect(),
        account: Account {
            active: account.status == SignInStatus::Active.as_str(),
            id: account.id,
            user_name: account.user_name,
            email: account.email,
            display_name: account.display_name,
            connection: account.connection,
        },
    };
    accounts.into_iter().map(&mut row).collect()
}
