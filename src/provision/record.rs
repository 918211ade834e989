//! What a transaction did, for the auditor (audit rows) and for those who listen (events), written once at its end.

use serde_json::{Value, json};

use crate::{
    db::{
        DbError, Tx,
        audit::{self, Entry},
    },
    domain::{
        actor::Occasion,
        assignment::{Holding, Origin},
        id::{AccountId, TenantId},
        model::RoleModel,
    },
    policy::mapping::Mapping,
};

#[derive(Debug, Default)]
pub(crate) struct Record {
    entries: Vec<Entry>,
}

impl Record {
    /// The same words for the auditor and for listeners; values of persons stay out.
    pub(crate) fn note(&mut self, action: &'static str, target_kind: &'static str, target_id: &impl ToString, detail: Value) {
        self.entries.push(Entry { action, target_kind, target_id: target_id.to_string(), detail });
    }

    /// One origin that came or went, in names as they are today and ids that stay.
    pub(crate) fn origin(
        &mut self,
        action: &'static str,
        account: AccountId,
        holding: &Holding,
        origin: &Origin,
        model: &RoleModel,
        mapping: Option<&Mapping>,
    ) {
        let rule = origin.rule().and_then(|id| mapping?.rules.iter().find(|rule| rule.id == id)).map(|rule| rule.name.clone());
        let organization = model.organizations.find(holding.organization);
        let detail = json!({
            "role": { "id": holding.role, "name": model.role(holding.role).map(|role| role.name.as_str()) },
            "organization": { "id": holding.organization, "slug": organization.map(|o| o.slug.as_str()) },
            "resource_scope": holding.resource_scope,
            "reach": holding.reach,
            "origin": { "kind": origin.kind(), "connection": origin.connection(), "rule": { "id": origin.rule(), "name": rule }, "mapping_version": mapping.map(|m| m.version) },
        });
        self.note(action, "account", &account, detail);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(crate) async fn write(self, tx: &mut Tx, tenant: TenantId, occasion: &mut Occasion) -> Result<(), DbError> {
        if self.is_empty() {
            return Ok(());
        }
        for entry in &self.entries {
            if entry.action.starts_with("assignment.") {
                occasion.tally.assignments += 1;
            } else {
                occasion.tally.facts += 1;
            }
        }
        audit::tell(tx, tenant, occasion, &self.entries).await
    }
}
