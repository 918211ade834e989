//! Warnings that nobody asked for: credentials that will expire, and connections that have fallen silent. Each is given once, whichever
//! node is first.

use serde_json::json;

use super::JobError;
use crate::{
    app::App,
    db::{
        activity::{Activity, list_quiet, report_silence},
        attention,
        audit::{self, Event},
        expiry_alert::{self, Expiring, list_expiring},
    },
    domain::actor::Actor,
};

/// The shortest silence that can be asked for.
const HOUR_SECS: i64 = 3600;

pub async fn give(app: &App) -> Result<(), JobError> {
    if app.check_clock().is_err() {
        return Ok(());
    }
    let now = app.now();
    for alert in list_expiring(&app.db, now).await? {
        warn_of_expiry(app, &alert).await?;
    }
    let mut after = None;
    loop {
        let quiet = list_quiet(&app.db, now.plus_secs(-HOUR_SECS), after).await?;
        let Some(last) = quiet.last() else { return Ok(()) };
        after = Some((last.tenant, last.connection));
        for activity in &quiet {
            let hours = i64::from(activity.scim.silence_alarm_hours);
            if activity.scim.enabled && hours > 0 && activity.last_request_at.plus_secs(hours * HOUR_SECS) <= now {
                warn_of_silence(app, activity).await?;
            }
        }
    }
}

async fn warn_of_expiry(app: &App, alert: &Expiring) -> Result<(), JobError> {
    let mut occasion = app.occasion(Actor::System, "warnings");
    let mut tx = app.db.begin().await?;
    if !expiry_alert::give(&mut tx, alert, occasion.now).await? {
        return Ok(());
    }
    let detail = json!({ "kind": alert.kind, "id": alert.credential, "expires_at": alert.expires_at.to_string(), "days": alert.days });
    let kind = if alert.is_certificate() { "certificate.expiring" } else { "credential.expiring" };
    attention::raise(&mut tx, alert.tenant, &mut occasion, kind, Some(alert.connection), None, &detail).await?;
    // Applications are told too: who watches them may be nearer than the owner of a connection.
    let event = Event { kind, subject_kind: "connection", subject_id: alert.connection.to_string(), payload: detail };
    audit::publish(&mut tx, alert.tenant, &mut occasion, &[event]).await?;
    tx.commit().await?;
    let what = match (alert.kind.as_str(), alert.days) {
        ("idp_certificate", 0) => {
            "a certificate of an identity provider has expired: sign-ins verified with it will be refused, add its successor"
        }
        ("idp_certificate", _) => "a certificate of an identity provider expires soon: add its successor before sign-ins are refused",
        ("sp_key", 0) => "a key's certificate has expired: switch to the next key, identity providers may refuse what this one signs",
        ("sp_key", _) => "a key's certificate expires soon: publish the next key and switch to it",
        (_, _) => "a credential of a connection expires soon: make another one and put it into the identity provider",
    };
    tracing::warn!(connection.id = %alert.connection, credential.id = alert.credential, days = alert.days, "{what}");
    Ok(())
}

async fn warn_of_silence(app: &App, activity: &Activity) -> Result<(), JobError> {
    let mut occasion = app.occasion(Actor::System, "warnings");
    let mut tx = app.db.begin().await?;
    if !report_silence(&mut tx, activity, occasion.now).await? {
        return Ok(());
    }
    let detail = json!({ "last_request_at": activity.last_request_at.to_string(), "hours": activity.scim.silence_alarm_hours });
    attention::raise(&mut tx, activity.tenant, &mut occasion, "connection.silent", Some(activity.connection), None, &detail).await?;
    tx.commit().await?;
    tracing::warn!(connection.id = %activity.connection, "a connection that used to push has fallen silent: look at its provisioning job");
    Ok(())
}
