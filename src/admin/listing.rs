//! Accounts and assignments as people and programs are shown them: names instead of ids, and every origin, so that each assignment
//! says why it is there. The JSON of these values is a contract.

use std::collections::HashMap;

use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use crate::{
    db::{
        Db, DbError,
        listing::{self, ListedAccount, ListedOrigin},
        people::look_like_owners,
    },
    domain::{
        account::SignInStatus,
        id::{AccountId, RuleId, TenantId},
        time::Timestamp,
    },
    policy::mapping::Mapping,
    scim::{filter::Filter, schema::Schemas},
};

/// An account with what it holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Row {
    pub account: Account,
    pub assignments: Vec<Assignment>,
    /// A directory names the account like an owner, and it is none.
    #[serde(skip_serializing_if = "is_false")]
    pub looks_like_owner: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_false(value: &bool) -> bool {
    !value
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

#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Origin {
    pub kind: String,
    /// The slug.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub connection: Option<String>,
    /// The rule's name; its id when no rule of the published mapping has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub rule: Option<String>,
    /// The account that granted it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub by: Option<String>,
    pub since: String,
    /// The identity provider has blocked the account: this origin gives nothing until it lets the account in again.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    pub dormant: bool,
}

/// Accounts a page holds.
pub const PAGE: i64 = 500;

/// A condition on accounts in the grammar of SCIM filters: `id`, `userName`, `displayName`, `active`, `emails.value`, and
/// `roles.value` for the names of roles that somebody holds.
#[derive(Debug, Clone, PartialEq)]
pub struct AccountFilter(Filter);

impl AccountFilter {
    /// # Errors
    /// In words, with what may be written instead.
    pub fn parse(text: &str) -> Result<Self, String> {
        const KNOWN: [&str; 6] = ["id", "userName", "displayName", "active", "emails", "roles"];
        let filter = Filter::parse(text).map_err(|error| format!("{error}; a filter such as 'userName co \"ann\"' was expected"))?;
        let is_known = |name: &str| KNOWN.iter().chain(&["value"]).any(|known| known.eq_ignore_ascii_case(name));
        if let Some(path) = filter.attributes().find(|path| !is_known(&path.name)) {
            return Err(format!("accounts are not listed by {:?}: {} are known", path.name, KNOWN.join(", ")));
        }
        Ok(Self(filter))
    }

    #[must_use]
    pub fn matches(&self, row: &Row) -> bool {
        let value = |value: &str| json!({ "value": value });
        let document = json!({
            "id": row.account.id,
            "userName": row.account.user_name,
            "displayName": row.account.display_name,
            "active": row.account.active,
            "emails": row.account.email.iter().map(|email| value(email)).collect::<Vec<_>>(),
            "roles": row.assignments.iter().map(|held| value(&held.role)).collect::<Vec<_>>(),
        });
        document.as_object().is_some_and(|document| self.0.matches(document, &Schemas::standard().user))
    }
}

/// A page of accounts after one; the next page begins after the last row's account, and a page of fewer than [`PAGE`] is the last.
pub async fn list_accounts(db: &Db, tenant: TenantId, after: Option<AccountId>) -> Result<Vec<Row>, DbError> {
    let accounts = listing::list_accounts(db, tenant, after, PAGE).await?;
    marked(db, tenant, with_assignments(db, tenant, accounts).await?).await
}

/// Every account of exactly this user name, e-mail address or id.
pub async fn find_accounts(db: &Db, tenant: TenantId, name: &str) -> Result<Vec<Row>, DbError> {
    let accounts = listing::find_accounts(db, tenant, name).await?;
    marked(db, tenant, with_assignments(db, tenant, accounts).await?).await
}

/// One account by its id, for its holder: it does not say whom it looks like.
pub async fn find_account(db: &Db, tenant: TenantId, account: AccountId) -> Result<Option<Row>, DbError> {
    let accounts = listing::find_accounts(db, tenant, &account.to_string()).await?;
    let rows = with_assignments(db, tenant, accounts).await?;
    Ok(rows.into_iter().find(|row| row.account.id == account.to_string()))
}

/// Marks those who look like an owner.
async fn marked(db: &Db, tenant: TenantId, mut rows: Vec<Row>) -> Result<Vec<Row>, DbError> {
    let ids: Vec<_> = rows.iter().filter_map(|row| AccountId::parse(&row.account.id).ok()).collect();
    let alike = look_like_owners(db, tenant, &ids).await?;
    for row in &mut rows {
        row.looks_like_owner = AccountId::parse(&row.account.id).is_ok_and(|id| alike.contains(&id));
    }
    Ok(rows)
}

async fn with_assignments(db: &Db, tenant: TenantId, accounts: Vec<ListedAccount>) -> Result<Vec<Row>, DbError> {
    let ids: Vec<_> = accounts.iter().map(|account| account.id.as_str()).collect();
    let origins = listing::list_origins(db, tenant, &ids).await?;
    let rules = if origins.iter().any(|origin| !origin.rule.is_empty()) { rule_names(db, tenant).await? } else { HashMap::new() };
    Ok(assemble(accounts, origins, &rules))
}

/// Names of rules by their ids, as they are published now.
pub async fn list_rule_names(db: &Db, tenant: TenantId) -> Result<HashMap<RuleId, String>, DbError> {
    let mappings = listing::list_published_mappings::<Mapping>(db, tenant).await?;
    Ok(mappings.into_iter().flat_map(|(_, mapping)| mapping.rules).map(|rule| (rule.id, rule.name)).collect())
}

pub async fn rule_names(db: &Db, tenant: TenantId) -> Result<HashMap<String, String>, DbError> {
    Ok(list_rule_names(db, tenant).await?.into_iter().map(|(id, name)| (id.to_string(), name)).collect())
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
            dormant: row.dormant,
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
        looks_like_owner: false,
    };
    accounts.into_iter().map(&mut row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(user_name: &str, email: Option<&str>, role: &str) -> Row {
        let account = Account {
            id: "1".into(),
            user_name: user_name.into(),
            email: email.map(str::to_owned),
            display_name: None,
            active: true,
            connection: None,
        };
        let held = Assignment {
            role: role.into(),
            organization: "acme".into(),
            reach: "subtree".into(),
            resource_scope: None,
            origins: Vec::new(),
        };
        Row { account, assignments: vec![held], looks_like_owner: false }
    }

    #[test]
    fn accounts_are_filtered_in_the_grammar_of_scim() {
        let ann = row("Ann@acme.example", Some("ann@acme.example"), "Auditor");
        for holds in [
            r#"userName eq "ann@ACME.example""#,
            r#"emails.value ew "acme.example" and active eq true"#,
            r#"roles.value eq "auditor""#,
            r#"emails[value sw "ann"]"#,
            "not (displayName pr)",
        ] {
            assert!(AccountFilter::parse(holds).unwrap().matches(&ann), "{holds}");
        }
        assert!(!AccountFilter::parse(r#"roles.value eq "Owner""#).unwrap().matches(&ann));
        for wrong in ["ann", "userName eq", r#"department eq "x""#] {
            assert!(AccountFilter::parse(wrong).is_err(), "{wrong}");
        }
    }

    /// What other programs read.
    #[test]
    fn a_row_has_the_published_shape() {
        let origin = ListedOrigin {
            account: "1".into(),
            assignment: "2".into(),
            role: "Organization Member".into(),
            organization: "acme".into(),
            resource_scope: None,
            reach: "subtree".into(),
            kind: "saml_rule".into(),
            connection: Some("acme-okta".into()),
            rule: "3".into(),
            granted_by: None,
            since_ms: 1_767_225_600_000,
            dormant: true,
        };
        let account = ListedAccount {
            id: "1".into(),
            user_name: "ann".into(),
            email: None,
            display_name: None,
            status: "blocked".into(),
            connection: Some("acme-okta".into()),
        };
        let second = ListedOrigin { kind: "manual".into(), connection: None, rule: String::new(), dormant: false, ..origin.clone() };
        let rows = assemble(vec![account], vec![origin, second], &HashMap::from([("3".to_owned(), "platform team".to_owned())]));
        let expected = json!([{
            "account": { "id": "1", "user_name": "ann", "email": null, "display_name": null, "active": false, "connection": "acme-okta" },
            "assignments": [{
                "role": "Organization Member",
                "organization": "acme",
                "reach": "subtree",
                "origins": [
                    { "kind": "saml_rule", "connection": "acme-okta", "rule": "platform team", "since": "2026-01-01T00:00:00Z", "dormant": true },
                    { "kind": "manual", "since": "2026-01-01T00:00:00Z" },
                ],
            }],
        }]);
        assert_eq!(serde_json::to_value(rows).unwrap(), expected);
    }
}
