//! A sign-in that is tried before a connection is switched on: a real one at the identity provider, whose response is judged as every
//! other one, and whose effects are made in a transaction that is dropped. So the preview cannot differ from what would be done.

use serde_json::{Value, json};

use crate::{
    db::{
        self, Db, DbError,
        acting::{self, Writes},
        audit::Entry,
        test_sign_in::{self, TestRow, TestState},
    },
    domain::{
        actor::{AccountActor, Actor, Occasion},
        assignment::Assignment,
        connection::Connection,
        id::EventId,
        secret::Secret,
        time::Timestamp,
    },
    keys,
    policy::{access::Grant, action::ConfigureSignIn},
    provision::{
        ProvisionError, Published, PublishedCache,
        sign_in::{Claim, SignIn, seek, sign_in},
    },
    saml::{Assertion, Value as SamlValue},
};

/// So long its address works, and so long its result is kept.
const TTL_SECS: i64 = 3600;

/// Makes a test. `None` where the right was given for another organization, or not to a person: whose test it is must be known.
pub async fn start(
    grant: &Grant<ConfigureSignIn>,
    db: &Db,
    occasion: &mut Occasion,
    connection: &Connection,
    secret: &Secret<String>,
) -> Result<Option<TestRow>, DbError> {
    let Actor::Account(AccountActor { account, .. }) = grant.actor() else { return Ok(None) };
    if grant.at() != connection.organization {
        return Ok(None);
    }
    let row = TestRow {
        tenant: connection.tenant,
        connection: connection.id,
        id: occasion.ids.make(),
        started_by: *account,
        created_at: occasion.now,
        expires_at: occasion.now.plus_secs(TTL_SECS),
        state: TestState::Waiting,
        request: None,
        result: None,
    };
    let mut tx = acting::begin(db, connection.tenant, occasion, Writes::Accounts(&[])).await?;
    test_sign_in::insert_test(&mut tx, &row, &keys::hash(secret.expose())).await?;
    let entry = Entry {
        action: "test_sign_in.started",
        target_kind: "connection",
        target_id: connection.id.to_string(),
        detail: json!({ "test": row.id, "connection": connection.slug }),
    };
    db::audit::append(&mut tx, connection.tenant, occasion, &[entry]).await?;
    tx.commit().await?;
    Ok(Some(row))
}

/// `None` where there is none, or the right was given for another organization.
pub async fn find(
    grant: &Grant<ConfigureSignIn>,
    db: &Db,
    connection: &Connection,
    id: EventId,
    now: Timestamp,
) -> Result<Option<TestRow>, DbError> {
    if grant.at() != connection.organization {
        return Ok(None);
    }
    let row = test_sign_in::find_test(db, connection.tenant, connection.id, id).await?;
    Ok(row.filter(|row| now < row.expires_at))
}

/// The response was refused, by this step and for this reason.
pub async fn refuse(db: &Db, row: &TestRow, step: &str, message: &str, why: &Value) -> Result<(), DbError> {
    let result = json!({ "refused": { "step": step, "message": message, "why": why } });
    end(db, row, TestState::Refused, &result).await
}

/// Uses the response up, as a sign-in does. False when it was used before.
pub async fn consume(db: &Db, connection: &Connection, assertion: &Assertion) -> Result<bool, DbError> {
    let mut tx = db.begin().await?;
    let (tenant, id) = (connection.tenant, connection.id);
    let fresh = db::sign_in::consume_assertion(&mut tx, tenant, id, &assertion.issuer, &assertion.id, assertion.remembered_until).await?;
    tx.commit().await?;
    Ok(fresh)
}

/// The response was accepted and used up: what it says, and what it would do, is shown. A person who would not be let in is a result like
/// any other. May be tried again when others were in the way.
pub async fn show(
    db: &Db,
    published: &PublishedCache,
    occasion: &mut Occasion,
    connection: &Connection,
    row: &TestRow,
    assertion: &Assertion,
    claim: &Claim,
) -> Result<(), ProvisionError> {
    let would = preview(db, published, occasion, connection, claim).await?;
    let result = json!({ "assertion": shown(assertion), "identity": identity(claim), "would": would });
    Ok(end(db, row, TestState::Accepted, &result).await?)
}

/// Signs in, reads what that made, and drops it.
async fn preview(
    db: &Db,
    cache: &PublishedCache,
    occasion: &mut Occasion,
    connection: &Connection,
    claim: &Claim,
) -> Result<Value, ProvisionError> {
    let mut tx = db.begin().await?;
    let published = cache.read(&mut tx, connection.tenant, connection.id).await?.ok_or(ProvisionError::NotFound)?;
    let sought = seek(&mut tx, &published.connection, claim).await?;
    let outcome = match sign_in(&mut tx, &published, occasion, claim.clone(), sought).await? {
        SignIn::Refused(refused) => json!({ "sign_in": "refused", "because": refused.to_string() }),
        SignIn::Admitted { account, created } => {
            let held = db::assignment::held(&mut tx, connection.tenant, &[account]).await?.remove(&account).unwrap_or_default();
            let account = if created { Value::Null } else { json!(account) };
            let assignments: Vec<_> = held.iter().map(|assignment| named(assignment, &published)).collect();
            json!({ "sign_in": "admitted", "creates_account": created, "account": account, "assignments": assignments })
        }
    };
    drop(tx);
    Ok(outcome)
}

fn named(assignment: &Assignment, published: &Published) -> Value {
    let holding = &assignment.holding;
    let origins = assignment.origins.iter().map(|row| {
        let rule = row.origin.rule().and_then(|id| published.mapping.rules.iter().find(|rule| rule.id == id));
        json!({ "kind": row.origin.kind(), "rule": rule.map(|rule| &rule.name) })
    });
    json!({
        "role": published.model.role(holding.role).map(|role| role.name.as_str()),
        "organization": published.model.organizations.find(holding.organization).map(|organization| organization.slug.as_str()),
        "reach": holding.reach,
        "resource_scope": holding.resource_scope,
        "origins": origins.collect::<Vec<_>>(),
    })
}

fn identity(claim: &Claim) -> Value {
    json!({
        "subject": claim.subject,
        "correlation": claim.correlation,
        "attributes": claim.identity.attributes,
        "groups": claim.identity.groups,
        "authn_context": claim.identity.authn_context,
    })
}

fn shown(assertion: &Assertion) -> Value {
    let value = |value: &SamlValue| match value {
        SamlValue::Text(text) => json!(text),
        SamlValue::Nil => Value::Null,
        SamlValue::Markup => json!("(markup)"),
    };
    let attributes = assertion.attributes.iter().map(|attribute| {
        let values: Vec<_> = attribute.values.iter().map(value).collect();
        json!({ "name": attribute.name, "values": values })
    });
    json!({
        "id": assertion.id,
        "issuer": assertion.issuer,
        "name_id": assertion.name_identifier(),
        "session_index": assertion.session_index,
        "session_not_on_or_after": assertion.session_not_on_or_after.map(|at| at.to_string()),
        "authn_instant": assertion.authn_instant.to_string(),
        "authn_context": assertion.authn_context,
        "verified_with": assertion.verified_with,
        "attributes": attributes.collect::<Vec<_>>(),
    })
}

async fn end(db: &Db, row: &TestRow, state: TestState, result: &Value) -> Result<(), DbError> {
    let mut tx = db.begin().await?;
    test_sign_in::end_test(&mut tx, row, state, result).await?;
    tx.commit().await
}
