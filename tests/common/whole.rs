//! Whether a database holds only whole changes: what was written beside what, and what was counted.

use rolegate::db::Db;

/// Each must find nothing.
const BROKEN: [(&str, &str); 6] = [
    (
        "accounts without the audit row of their making",
        "select id from account where not exists (
            select 1 from audit where audit.tenant = account.tenant and target_id = account.id and action = 'account.created')",
    ),
    (
        "audit rows of accounts that are not there",
        "select target_id from audit where action = 'account.created' and not exists (
            select 1 from account where account.tenant = audit.tenant and id = target_id)",
    ),
    (
        "groups without the audit row of their making",
        "select id from directory_group g where not exists (
            select 1 from audit where audit.tenant = g.tenant and target_id = g.id and action = 'group.created')",
    ),
    (
        "accounts that nobody was told of",
        "select id from account where not exists (
            select 1 from outbox where outbox.tenant = account.tenant and subject_id = account.id and kind = 'account.created')",
    ),
    (
        "users that were not counted",
        "select 'users' from tenant where id = '00000000-0000-0000-0000-000000000001' and
            (select count(*) from identity where scim_state = 'live') <>
            (select coalesce(sum(value), 0) from counter where name = 'users')",
    ),
    (
        "groups that were not counted",
        "select 'groups' from tenant where id = '00000000-0000-0000-0000-000000000001' and
            (select count(*) from directory_group) <> (select coalesce(sum(value), 0) from counter where name = 'groups')",
    ),
];

pub async fn check(db: &Db) {
    for (what, sql) in BROKEN {
        let found: Vec<(String,)> = db.query(sql).all().await.unwrap();
        assert_eq!(found, [], "{what}");
    }
}
