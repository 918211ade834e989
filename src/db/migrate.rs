//! Brings the tables up to date. Migrations are written once; `keytext` becomes what orders bytes on each engine.

use std::borrow::Cow;

use sqlx::{
    AssertSqlSafe, Executor as _, SqlSafeStr,
    migrate::{MigrateError, Migration, MigrationType, Migrator},
    postgres::PgPool,
};

use super::engine::{Db, DbError};

/// Number, what it does, text. Only ever added to.
const MIGRATIONS: &[(i64, &str, &str)] = &[
    (1, "the role store", include_str!("../../migrations/0001_role_store.sql")),
    (2, "what running SCIM connections needs", include_str!("../../migrations/0002_scim_operations.sql")),
    (3, "service provider keys", include_str!("../../migrations/0003_service_provider_keys.sql")),
    (4, "what running sign-ins needs", include_str!("../../migrations/0004_sign_in_operations.sql")),
    (5, "roles, accounts and groups as people keep them", include_str!("../../migrations/0005_roles.sql")),
    (6, "organizations as people keep them", include_str!("../../migrations/0006_organizations.sql")),
    (7, "what the administration API needs", include_str!("../../migrations/0007_admin_api.sql")),
    (8, "a tenant's schema from its file", include_str!("../../migrations/0008_attribute_schema_from_file.sql")),
    (9, "roles that are given together", include_str!("../../migrations/0009_role_sets.sql")),
    (10, "sessions of connections that closed", include_str!("../../migrations/0010_closed_connections.sql")),
    (12, "which settings a tenant's file names", include_str!("../../migrations/0012_settings_of_the_file.sql")),
    (13, "which SAML facts were refused", include_str!("../../migrations/0013_refused_facts.sql")),
    (14, "when connections closed", include_str!("../../migrations/0014_when_connections_closed.sql")),
    (15, "versions of what accounts hold", include_str!("../../migrations/0015_held_versions.sql")),
    (16, "settings of a tenant's file that are known", include_str!("../../migrations/0016_settings_that_are_known.sql")),
    (22, "refusals that repeat are counted", include_str!("../../migrations/0022_counted_refusals.sql")),
    (23, "a row for probes", include_str!("../../migrations/0023_write_probe.sql")),
    (25, "what owners answer for", include_str!("../../migrations/0025_what_owners_answer_for.sql")),
    (27, "the session that a browser had before", include_str!("../../migrations/0027_former_session.sql")),
];

impl Db {
    /// Runs what has not run yet; concurrent callers wait for one another.
    pub async fn migrate(&self) -> Result<(), DbError> {
        let migrator = self.migrator();
        match self {
            Self::Sqlite { writer, .. } => migrator.run(&mut *writer.acquire().await?).await,
            Self::Postgres(server) => run_unhurried(&migrator, server.pool()).await,
        }
        .map_err(DbError::Migrate)
    }

    /// Whether every migration has run.
    pub async fn is_migrated(&self) -> Result<bool, DbError> {
        let row: Option<(i64,)> = match self.query("select count(*) from _sqlx_migrations where success").optional().await {
            Err(DbError::Statement(_)) => None,
            other => other?,
        };
        Ok(row.is_some_and(|(count,)| usize::try_from(count).is_ok_and(|count| count >= MIGRATIONS.len())))
    }

    fn migrator(&self) -> Migrator {
        let keytext = if self.is_sqlite() { "text" } else { "text collate \"C\"" };
        let migration = |(version, description, sql): &(i64, &'static str, &'static str)| {
            let sql = AssertSqlSafe(sql.replace("keytext", keytext)).into_sql_str();
            Migration::new(*version, Cow::Borrowed(*description), MigrationType::Simple, sql, false)
        };
        Migrator { migrations: MIGRATIONS.iter().map(migration).collect(), ..Migrator::DEFAULT }
    }
}

/// An index over a large table takes longer than any request may.
async fn run_unhurried(migrator: &Migrator, pool: &PgPool) -> Result<(), MigrateError> {
    let mut connection = pool.acquire().await?;
    // The connection keeps the setting, and nobody else is to have it.
    connection.close_on_drop();
    connection.execute("set statement_timeout = 0").await?;
    // Nodes that start together wait for one another, and that takes longer than a request may wait for a lock.
    connection.execute("set lock_timeout = '20s'").await?;
    migrator.run(&mut *connection).await
}
