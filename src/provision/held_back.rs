//! Effects that a mapping asked for and that were not given, told to whoever can mend the mapping: once, not for every person.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::Published;
use crate::{
    db::{self, DbError, Tx},
    domain::{actor::Occasion, id::RuleId},
    policy::{invariant::Ineligible, mapping::Note},
};

/// A line in the log for each, and an open item for each rule that names what does not exist or what it may not give.
pub(super) async fn tell(tx: &mut Tx, published: &Published, occasion: &mut Occasion, notes: &BTreeSet<Note>) -> Result<(), DbError> {
    let connection = &published.connection;
    let mut told = BTreeSet::new();
    for (what, rule, mend) in notes.iter().map(words) {
        if !told.insert((what, rule)) {
            continue;
        }
        tracing::info!(connection.id = %connection.id, mapping.version = published.mapping.version, rule.id = rule.map(tracing::field::display), note = what, "an effect of the mapping was held back");
        if let Some(mend) = mend {
            let detail = item(published, what, rule, mend);
            db::attention::raise(tx, published.tenant(), occasion, "mapping.held_back", Some(connection.id), None, &detail).await?;
        }
    }
    Ok(())
}

fn item(published: &Published, what: &str, rule: Option<RuleId>, mend: &str) -> Value {
    let name = rule.and_then(|id| published.mapping.find(id)).map(|rule| rule.name.as_str());
    json!({ "note": what, "rule": { "id": rule, "name": name }, "message": mend })
}

/// The word of a note, its rule (none: the default mapping), and what to do where the mapping itself is at fault.
/// A veto, a higher rank, a role for machines or for those at home at the root: that is how rules work together.
fn words(note: &Note) -> (&'static str, Option<RuleId>, Option<&'static str>) {
    match note {
        Note::Vetoed { rule, .. } => ("vetoed", Some(*rule), None),
        Note::Outranked { .. } => ("outranked", None, None),
        Note::Ineligible { rule, why: Ineligible::RootOnly, .. } => ("root_only", *rule, None),
        Note::Ineligible { rule, why: Ineligible::MachineOnly, .. } => ("machine_only", *rule, None),
        Note::UnresolvedOrganization { rule } => (
            "unresolved_org",
            Some(*rule),
            Some(
                "the rule's template named no organization below the connection's: create the organization, or correct the attribute or the template",
            ),
        ),
        Note::OutsideAnchor { rule, .. } => (
            "outside_anchor",
            Some(*rule),
            Some("the rule names an organization outside the connection's: an owner at the root has to publish it"),
        ),
        Note::HomeOutsideAnchor { rule } => (
            "home_outside_anchor",
            Some(*rule),
            Some(
                "the rule sets the home of an account at home outside the connection's organization: an owner at the root has to publish the rule",
            ),
        ),
        Note::UnknownOrganization { rule, .. } => {
            ("unknown_organization", Some(*rule), Some("the rule names an organization that is no more: correct the rule"))
        }
        Note::Ineligible { rule, why: Ineligible::UnknownRole, .. } => {
            ("unknown_role", *rule, Some("the mapping names a role that is no more: correct the mapping"))
        }
        Note::Ineligible { rule, why: Ineligible::UnknownOrganization, .. } => {
            ("unknown_organization", *rule, Some("the mapping names an organization that is no more: correct the mapping"))
        }
        Note::Ineligible { rule, why: Ineligible::UnknownScope, .. } => (
            "unknown_scope",
            *rule,
            Some("the mapping names a context or resource that the organization does not have: correct the mapping"),
        ),
        Note::OwnerGrantNotAllowed { rule, .. } => (
            "owner_grant_not_allowed",
            *rule,
            Some(
                "the mapping names an owner-class role: an owner has to switch allow_owner_grants on for the connection, or take the role out",
            ),
        ),
        Note::OwnerGrantUnpinned { rule, .. } => (
            "owner_grant_unpinned",
            Some(*rule),
            Some("a rule that gives an owner-class role looks at what people may change of themselves: match groups.value eq \"…\""),
        ),
        Note::Ineligible { rule, why: Ineligible::NeedsScope | Ineligible::NeedsNoScope, .. } => (
            "wrong_scope_kind",
            *rule,
            Some("the role is held in contexts or resources and none was named, or the other way round: correct the mapping"),
        ),
        Note::ConflictingHomes { .. } => (
            "conflicting_homes",
            None,
            Some("rules name different home organizations for one person: make their conditions exclude each other"),
        ),
    }
}
