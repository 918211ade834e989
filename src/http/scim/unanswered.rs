//! A POST that is sent again because the answer to the first one was lost, or said that the change may have been written: it is answered
//! with what the first one made.

use std::collections::BTreeSet;

use crate::{
    db::{
        group::{GroupRow, list_members},
        identity::UserRow,
        unanswered::{find_new_user, list_new_groups, take},
    },
    http::{caller::ScimCaller, error::ScimFailure},
    scim::{group::Group, resource::User},
};

/// How long a client may take to send its request again.
const REPEATED_WITHIN_SECS: i64 = 600;

/// The user that an unanswered request with the same content made.
pub async fn find_user(caller: &ScimCaller, user: &User) -> Result<Option<UserRow>, ScimFailure> {
    let (app, since) = (&caller.app, caller.app.now().plus_secs(-REPEATED_WITHIN_SECS));
    let row = find_new_user(&app.db, caller.tenant, caller.connection, user.user_name(), since).await?;
    let Some(row) = row.filter(|row| row.scim.document == user.attributes) else { return Ok(None) };
    // The entry of the first request may not be written yet.
    app.provisioning_log.flush(&app.db).await?;
    let target = ("account", row.id.to_string());
    Ok(take(&app.db, caller.tenant, caller.connection, target, row.scim.created_at).await?.then_some(row))
}

/// The group that an unanswered request with the same content made. Nothing else tells: displayNames need not be unique.
pub async fn find_group(caller: &ScimCaller, group: &Group) -> Result<Option<GroupRow>, ScimFailure> {
    let (app, since) = (&caller.app, caller.app.now().plus_secs(-REPEATED_WITHIN_SECS));
    let rows = list_new_groups(&app.db, caller.tenant, caller.connection, &group.display_name, since).await?;
    let same = |row: &GroupRow| row.display_name == group.display_name && row.external_id == group.external_id;
    let sent: BTreeSet<&str> = group.members.iter().map(|member| member.value.as_str()).collect();
    for row in rows.into_iter().filter(same) {
        let members = list_members(&app.db, caller.tenant, &[row.id]).await?.remove(&row.id).unwrap_or_default();
        if !members.iter().all(|member| sent.contains(member.member.as_str())) {
            continue;
        }
        app.provisioning_log.flush(&app.db).await?;
        if take(&app.db, caller.tenant, caller.connection, ("group", row.id.to_string()), row.created_at).await? {
            return Ok(Some(row));
        }
    }
    Ok(None)
}
