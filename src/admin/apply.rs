//! Does what `plan` says, in one transaction, as the operator of the host: every step with its audit row.
//!
//! People of a connection whose mapping changed are evaluated again: owners and the first thousands in the same transaction, the rest
//! in chunks after it ([`evaluate_rest`]), which may be interrupted and done again.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{
    attribute_schema,
    certificate::{self, Adding, TooMany},
    change::Change,
    current::{self, Current},
    plan::{Metadata, Plan, PlanError, plan},
    relocation::{self, Report},
    shut_out::ShutOut,
    sign_in_link::{self, SignInLink},
    tenant_file::TenantFile,
    warning::{self, Warning},
};
use crate::{
    db::{
        self, Db, DbError, Tx,
        account::{AccountRow, OwnerRow},
        audit::Entry,
        certificate::CertificateState,
        listing::Counts,
    },
    domain::{
        account::{Account, AccountKind, SignInStatus},
        actor::Occasion,
        assignment::{Holding, Origin, Reach},
        connection::Connection,
        id::{AccountId, ConnectionId, TenantId},
        model::RoleModel,
        name::{Email, Slug, Title},
        secret::Secret,
    },
    policy::{
        invariant,
        mapping::{DefaultMapping, Mapping},
    },
    provision::{ProvisionError, Published, PublishedCache, grant, keep, published, remap, shut_out, withdraw},
    saml::Certificate,
};

/// Chunks of accounts that are evaluated in the transaction itself.
const CHUNKS_AT_ONCE: usize = 20;

/// How often a transaction is done again when another one was in the way.
const ATTEMPTS: usize = 4;

#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error("the connection slug {0} is taken by another tenant of this installation: choose another")]
    SlugTaken(String),
    #[error("{connection}: {source}")]
    TooManyCertificates { connection: String, source: TooMany },
    #[error("the file would leave no owner who can sign in without an identity provider: list one under [[owners]]")]
    NoLocalOwner,
    #[error("the changed rules would take the owner role from the last owner of the tenant: make another owner first")]
    LastOwner,
    #[error("the tenant changed meanwhile: run it again")]
    Meanwhile,
    #[error("the preset {0} has no owner role at the root")]
    NoOwnerRole(String),
    #[error(transparent)]
    Provision(ProvisionError),
    #[error(transparent)]
    Db(#[from] DbError),
}

impl From<ProvisionError> for ApplyError {
    fn from(error: ProvisionError) -> Self {
        match error {
            ProvisionError::Db(error) => Self::Db(error),
            error => Self::Provision(error),
        }
    }
}

impl ApplyError {
    fn may_pass(&self) -> bool {
        match self {
            Self::Meanwhile | Self::Provision(ProvisionError::Again) => true,
            Self::Db(error) => error.is_transient(),
            Self::Plan(_)
            | Self::SlugTaken(_)
            | Self::TooManyCertificates { .. }
            | Self::NoLocalOwner
            | Self::LastOwner
            | Self::NoOwnerRole(_)
            | Self::Provision(_) => false,
        }
    }
}

/// What was done, or would be.
#[derive(Debug)]
pub struct Applied {
    pub tenant: TenantId,
    pub changes: Vec<Change>,
    /// For owners that were made; the only time that they are known.
    pub links: Vec<SignInLink>,
    pub counts: Counts,
    /// Connections with people who are still to be evaluated.
    pub unfinished: Vec<ConnectionId>,
    /// Of the tenant as it is now, or would be.
    pub warnings: Vec<Warning>,
    /// Whom changed rules keep out, by the connections that keep somebody out.
    pub shut_out: Vec<ShutOut>,
    /// Organizations that hang elsewhere, with the roles that act in them no longer or now.
    pub moves: Vec<Report>,
}

/// Where secrets for sign-in links come from.
pub type Mint<'a> = &'a mut (dyn FnMut() -> Secret<String> + Send);

/// Brings the tenant to what the file says.
pub async fn apply(
    db: &Db,
    occasion: &mut Occasion,
    mint: Mint<'_>,
    file: &TenantFile,
    metadata: &Metadata,
) -> Result<Applied, ApplyError> {
    let mut attempt = 1;
    loop {
        match once(db, occasion, mint, file, metadata, true).await {
            Err(error) if error.may_pass() && attempt < ATTEMPTS => attempt += 1,
            outcome => return outcome,
        }
    }
}

/// What [`apply`] would do: it is done, counted and dropped, so that the preview cannot differ.
pub async fn preview(db: &Db, occasion: &mut Occasion, file: &TenantFile, metadata: &Metadata) -> Result<Applied, ApplyError> {
    // Never committed, yet two links may not have one secret, nor may those of two previews at a time.
    let (correlation, mut made) = (occasion.correlation.clone(), 0);
    let mut mint = || {
        made += 1;
        Secret::new(format!("preview {correlation} {made}"))
    };
    once(db, occasion, &mut mint, file, metadata, false).await
}

async fn once(
    db: &Db,
    occasion: &mut Occasion,
    mint: Mint<'_>,
    file: &TenantFile,
    metadata: &Metadata,
    keep: bool,
) -> Result<Applied, ApplyError> {
    let mut tx = db.begin().await?;
    let current = current::load(&mut tx, &file.tenant.slug.value, occasion.now).await?;
    let plan = plan(file, metadata, current.as_ref(), &mut occasion.ids)?;
    let mut work = Work { tx: &mut tx, occasion, mint, tenant: plan.tenant, links: Vec::new(), model: None, entries: Vec::new() };
    let owners = work.owners(&plan).await?;
    let before = work.remapped(&plan, current.as_ref()).await?;
    let model = if plan.updates_organizations() { Some(work.model().await?) } else { None };
    for change in &plan.changes {
        work.execute(change).await?;
    }
    let moves = match model {
        Some(before) => {
            let after = work.model().await?;
            relocation::report(work.tx, &before, &after).await?
        }
        None => Vec::new(),
    };
    let (unfinished, shut_out) = work.finish(&before, owners).await?;
    let links = work.links;
    let counts = db::listing::count_changes(&mut tx, plan.tenant, &occasion.correlation).await?;
    let mut warnings = warning::of_file(file);
    if let Some(current) = &current {
        warnings.extend(warning::of_metadata(&mut tx, current, metadata).await?);
    }
    if let Some(tenant) = db::tenant::find_tenant(&mut tx, plan.tenant).await? {
        warnings.extend(warning::of_tenant(&mut tx, &tenant).await?);
    }
    if keep && !plan.is_empty() {
        tx.commit().await?;
    }
    Ok(Applied { tenant: plan.tenant, changes: plan.changes, links, counts, unfinished, warnings, shut_out, moves })
}

/// Evaluates who is left, a chunk a transaction.
pub async fn evaluate_rest(db: &Db, occasion: &mut Occasion, tenant: TenantId, unfinished: &[ConnectionId]) -> Result<(), ApplyError> {
    let cache = PublishedCache::default();
    for connection in unfinished {
        loop {
            let mut tx = db.begin().await?;
            let Some(published) = cache.read(&mut tx, tenant, *connection).await? else { break };
            let evaluated = remap::remap_chunk(&mut tx, &published, occasion).await?;
            tx.commit().await?;
            if evaluated < remap::CHUNK {
                break;
            }
        }
    }
    Ok(())
}

/// One transaction at work.
struct Work<'a> {
    tx: &'a mut Tx,
    occasion: &'a mut Occasion,
    mint: Mint<'a>,
    tenant: TenantId,
    links: Vec<SignInLink>,
    /// As it is after the steps so far; `None` when it must be read again.
    model: Option<RoleModel>,
    entries: Vec<Entry>,
}

/// Owners before the first step; `None` where the tenant is new.
struct OwnersBefore {
    usable: i64,
    retained: usize,
}

impl Work<'_> {
    fn note(&mut self, action: &'static str, target_kind: &'static str, target_id: &impl ToString, detail: Value) {
        self.entries.push(Entry { action, target_kind, target_id: target_id.to_string(), detail });
    }

    async fn model(&mut self) -> Result<RoleModel, ApplyError> {
        if let Some(model) = &self.model {
            return Ok(model.clone());
        }
        let model = db::model::load_model(&mut *self.tx, self.tenant).await?;
        self.model = Some(model.clone());
        Ok(model)
    }

    async fn owners(&mut self, plan: &Plan) -> Result<Option<OwnersBefore>, ApplyError> {
        if plan.is_empty() || matches!(plan.changes.first(), Some(Change::CreateTenant { .. })) {
            return Ok(None);
        }
        let model = self.model().await?;
        let owners = db::account::list_owners(self.tx, self.tenant, model.organizations.root()).await?;
        Ok(Some(OwnersBefore { usable: usable(&owners), retained: self.retained(&owners).await? }))
    }

    /// How many owners are so only because nobody else is.
    async fn retained(&mut self, owners: &[OwnerRow]) -> Result<usize, ApplyError> {
        let ids: Vec<_> = owners.iter().map(|owner| owner.account).collect();
        let held = db::assignment::held(self.tx, self.tenant, &ids).await?;
        Ok(held.values().flatten().flat_map(|held| &held.origins).filter(|row| row.origin == Origin::Retention).count())
    }

    async fn execute(&mut self, change: &Change) -> Result<(), ApplyError> {
        let (tenant, now) = (self.tenant, self.occasion.now);
        match change {
            Change::CreateTenant { tenant: row, root, roles, entities } => {
                let made = db::tenant::insert_tenant(self.tx, row, now).await?
                    && db::organization::insert_organization(self.tx, tenant, root, true, now).await?
                    && db::role::insert_roles(self.tx, tenant, roles, false, now).await?;
                if !made {
                    return Err(ApplyError::Meanwhile);
                }
                db::role::insert_entities(self.tx, tenant, entities).await?;
                self.note("tenant.created", "tenant", &tenant, json!({ "slug": row.slug, "preset": row.preset }));
            }
            Change::UpdateTenant { tenant: row, what } => {
                sure(db::tenant::update_tenant(self.tx, row).await?)?;
                self.note("tenant.changed", "tenant", &tenant, json!({ "what": what }));
            }
            Change::WriteCatalogue { entities, removed } => {
                db::role::insert_entities(self.tx, tenant, entities).await?;
                db::role::delete_entities(self.tx, tenant, removed).await?;
                self.note("catalogue.upgraded", "tenant", &tenant, json!({ "entities": entities.len(), "removed": removed }));
            }
            Change::CreateRole { role, from_file } => {
                sure(db::role::insert_roles(self.tx, tenant, std::slice::from_ref(role), *from_file, now).await?)?;
                self.note("role.created", "role", &role.id, json!({ "name": role.name, "permissions": role.permissions }));
            }
            Change::UpdateRole { role, what } => {
                sure(db::role::update_role(self.tx, tenant, role).await?)?;
                self.note("role.changed", "role", &role.id, json!({ "name": role.name, "what": what }));
            }
            Change::CreateOrganization { organization } => {
                sure(db::organization::insert_organization(self.tx, tenant, organization, true, now).await?)?;
                self.note("organization.created", "organization", &organization.id, json!({ "slug": organization.slug }));
            }
            Change::UpdateOrganization { organization, what } => {
                sure(db::organization::update_organization(self.tx, tenant, organization).await?)?;
                self.note("organization.changed", "organization", &organization.id, json!({ "slug": organization.slug, "what": what }));
            }
            Change::CreateConnection { connection } => {
                if !db::connection::insert_connection(self.tx, connection, true, now).await? {
                    return Err(ApplyError::SlugTaken(connection.slug.to_string()));
                }
                self.note("connection.created", "connection", &connection.id, json!({ "slug": connection.slug }));
            }
            Change::UpdateConnection { connection, what } => {
                self.update_connection(connection).await?;
                let mut detail = json!({ "slug": connection.slug, "what": what });
                if !connection.signs_in() {
                    // Nobody is signed in through what is switched off.
                    let ended = db::session::end_sessions_of_connection(self.tx, tenant, connection.id).await?;
                    detail["sessions_ended"] = ended.into();
                }
                self.note("connection.changed", "connection", &connection.id, detail);
            }
            Change::AddCertificate { connection, slug, certificate } => self.add_certificate(*connection, slug, certificate).await?,
            Change::PublishMapping { connection, mapping, what, .. } => {
                self.publish(*connection, mapping).await?;
                let detail = json!({ "version": mapping.version, "what": what });
                self.note("mapping.published", "connection", connection, detail);
            }
            Change::WithdrawConnection { connection } => self.withdraw_connection(connection).await?,
            Change::PutAttributeSchema { definition, document, .. } => {
                db::custom_schema::put_custom_schema(self.tx, tenant, document, true, now).await?;
                self.note("attribute_schema.changed", "tenant", &tenant, attribute_schema::detail(definition));
            }
            Change::DeleteAttributeSchema => {
                sure(db::custom_schema::delete_custom_schema(self.tx, tenant).await?)?;
                self.note("attribute_schema.deleted", "tenant", &tenant, json!({}));
            }
            Change::CreateOwner { account, email, name } => self.create_owner(*account, email, name).await?,
            Change::UpdateOwner { account, what } => {
                db::account::update_account(self.tx, tenant, account, now).await?;
                self.note("account.changed", "account", &account.account.id, json!({ "changed": what.len() }));
            }
            Change::RestoreOwner { account } => self.restore_owner(account.clone()).await?,
            Change::WithdrawOwner { account } => self.withdraw_owner(account.clone()).await?,
            Change::DeleteRole { role, name } => {
                sure(db::role::delete_role(self.tx, tenant, *role).await?)?;
                self.note("role.deleted", "role", role, json!({ "name": name }));
            }
            Change::DeleteOrganization { organization, slug } => {
                sure(db::organization::delete_organization(self.tx, tenant, *organization, now).await?)?;
                self.note("organization.deleted", "organization", organization, json!({ "slug": slug }));
            }
        }
        if changes_model(change) {
            self.model = None;
            if !matches!(change, Change::CreateTenant { .. } | Change::UpdateTenant { .. }) {
                db::tenant::raise_model_version(self.tx, tenant).await?;
            }
        }
        Ok(())
    }

    async fn update_connection(&mut self, connection: &Connection) -> Result<(), ApplyError> {
        sure(db::connection::update_connection(self.tx, connection, self.occasion.now).await?.is_some())
    }

    async fn add_certificate(&mut self, connection: ConnectionId, slug: &Slug, certificate: &Certificate) -> Result<(), ApplyError> {
        let known = db::certificate::list_certificates(&mut *self.tx, self.tenant, connection).await?;
        certificate::check_room(&known, 1).map_err(|source| ApplyError::TooManyCertificates { connection: slug.to_string(), source })?;
        let by = Adding { by: None, from_file: true };
        let row = certificate::new_row(by, self.occasion, connection, certificate, CertificateState::Current);
        sure(db::certificate::insert_certificate(self.tx, self.tenant, &row).await?)?;
        db::connection::raise_connection_version(self.tx, self.tenant, connection).await?;
        self.note("certificate.added", "certificate", &row.id, json!({ "connection": connection, "fingerprint": row.fingerprint }));
        Ok(())
    }

    async fn publish(&mut self, connection: ConnectionId, mapping: &Mapping) -> Result<(), ApplyError> {
        let now = self.occasion.now;
        let before = self.published(connection).await?;
        keep::keep_as_manual(self.tx, &before, self.occasion, mapping, None).await?;
        sure(published::publish(self.tx, self.tenant, connection, mapping, None, now).await?)
    }

    async fn published(&mut self, connection: ConnectionId) -> Result<Arc<Published>, ApplyError> {
        PublishedCache::default().read(self.tx, self.tenant, connection).await?.ok_or(ApplyError::Meanwhile)
    }

    /// The empty mapping makes sure that people are evaluated again, should a file bring the connection back.
    async fn withdraw_connection(&mut self, connection: &Connection) -> Result<(), ApplyError> {
        let published = self.published(connection.id).await?;
        let touched = withdraw::withdraw_connection(self.tx, &published, self.occasion).await?;
        self.update_connection(&Connection { enabled: false, ..connection.clone() }).await?;
        let mapping = Mapping { version: published.mapping.version + 1, default: DefaultMapping::default(), rules: Vec::new() };
        self.publish(connection.id, &mapping).await?;
        let detail = json!({ "slug": connection.slug, "accounts": touched });
        self.note("connection.withdrawn", "connection", &connection.id, detail);
        Ok(())
    }

    async fn create_owner(&mut self, account: AccountId, email: &Email, name: &Title) -> Result<(), ApplyError> {
        let (tenant, now) = (self.tenant, self.occasion.now);
        let root = self.model().await?.organizations.root();
        let row = AccountRow {
            account: Account {
                id: account,
                user_name: email.as_str().to_owned(),
                email: Some(email.as_str().to_owned()),
                display_name: Some(name.as_str().to_owned()),
                kind: AccountKind::Human,
                home_organization: Some(root),
                status: SignInStatus::Active,
            },
            standing: SignInStatus::Active,
            profile_connection: None,
            has_local_credential: true,
            from_file: true,
        };
        db::account::insert_accounts(self.tx, tenant, &[&row], now).await?;
        db::account::join(self.tx, tenant, &[(account, root)], now).await?;
        self.note("account.created", "account", &account, json!({ "by": "file" }));
        self.make_owner(&row).await
    }

    async fn restore_owner(&mut self, mut row: AccountRow) -> Result<(), ApplyError> {
        row.decide(SignInStatus::Active);
        row.has_local_credential = true;
        db::account::update_account(self.tx, self.tenant, &row, self.occasion.now).await?;
        self.note("account.activated", "account", &row.account.id, json!({ "by": "file" }));
        self.make_owner(&row).await
    }

    /// The owner role at the root, and a link to sign in with.
    async fn make_owner(&mut self, row: &AccountRow) -> Result<(), ApplyError> {
        let model = self.model().await?;
        let holding = owner_holding(&model).ok_or_else(|| ApplyError::NoOwnerRole(self.tenant.to_string()))?;
        let delegates = model.settings.delegation;
        grant::grant(self.tx, &model, self.occasion, row.account.id, holding, Origin::Bootstrap, delegates).await?;
        let link = sign_in_link::make(self.tx, self.tenant, self.occasion, row, (self.mint)()).await?;
        self.links.push(link);
        Ok(())
    }

    async fn withdraw_owner(&mut self, mut row: AccountRow) -> Result<(), ApplyError> {
        let model = self.model().await?;
        let id = row.account.id;
        let held = db::assignment::held(self.tx, self.tenant, &[id]).await?.remove(&id).unwrap_or_default();
        let bootstrapped = held.iter().filter(|held| held.origins.iter().any(|row| row.origin == Origin::Bootstrap));
        for held in bootstrapped {
            let whose = |origin: &Origin| *origin == Origin::Bootstrap;
            grant::revoke(self.tx, &model, self.occasion, id, held.holding, whose).await?;
        }
        // Who is left with nothing has no reason to sign in here; who holds something for another reason keeps the way in.
        let left = db::assignment::held(self.tx, self.tenant, &[id]).await?;
        if left.get(&id).is_none_or(Vec::is_empty) {
            row.decide(SignInStatus::Blocked);
            row.has_local_credential = false;
            db::account::update_account(self.tx, self.tenant, &row, self.occasion.now).await?;
            db::session::end_sessions_of_account(self.tx, self.tenant, id).await?;
            self.note("account.blocked", "account", &id, json!({ "by": "file" }));
        }
        Ok(())
    }

    /// The connections whose people are to be evaluated again, as they are before the first step.
    async fn remapped(&mut self, plan: &Plan, current: Option<&Current>) -> Result<Vec<Arc<Published>>, ApplyError> {
        let known = |id: &ConnectionId| current.is_some_and(|current| current.connections.iter().any(|row| row.connection.id == *id));
        let mut before = Vec::new();
        for connection in plan.remapped().iter().filter(|id| known(id)) {
            before.push(self.published(*connection).await?);
        }
        Ok(before)
    }

    /// Evaluates people again, checks what binds even the operator, and writes the audit rows. Which connections are unfinished, and whom
    /// the changed rules keep out.
    async fn finish(
        &mut self,
        remapped: &[Arc<Published>],
        owners: Option<OwnersBefore>,
    ) -> Result<(Vec<ConnectionId>, Vec<ShutOut>), ApplyError> {
        let entries = std::mem::take(&mut self.entries);
        db::audit::tell(self.tx, self.tenant, self.occasion, &entries).await?;
        let (mut unfinished, mut shut_out) = (Vec::new(), Vec::new());
        for before in remapped {
            let connection = &before.connection;
            let published = self.published(connection.id).await?;
            let owners = self.owners_at(&published).await?;
            let mut kept_out = self.evaluate(before, &published, &owners).await?;
            let mut done = false;
            for _ in 0..CHUNKS_AT_ONCE {
                let chunk = remap::list_chunk(self.tx, &published).await?;
                kept_out.extend(self.evaluate(before, &published, &chunk).await?);
                done = remap::is_last(&chunk);
                if done {
                    break;
                }
            }
            if !done {
                unfinished.push(connection.id);
            }
            if !kept_out.is_empty() {
                shut_out.push(ShutOut::of(self.tx, self.tenant, connection.slug.clone(), &kept_out, !done).await?);
            }
        }
        if let Some(before) = owners {
            self.check_owners(&before).await?;
        }
        Ok((unfinished, shut_out))
    }

    /// Those of them whom that keeps out.
    async fn evaluate(&mut self, before: &Published, after: &Published, ids: &[AccountId]) -> Result<Vec<AccountId>, ApplyError> {
        let kept_out = shut_out::shut_out(self.tx, before, after, self.occasion, ids).await?;
        remap::remap(self.tx, after, self.occasion, ids).await?;
        Ok(kept_out)
    }

    /// They are evaluated first, so that what a mapping does to them is known before anything is committed.
    async fn owners_at(&mut self, published: &Published) -> Result<Vec<AccountId>, ApplyError> {
        let owners = db::account::list_owners(self.tx, self.tenant, published.model.organizations.root()).await?;
        let ids: Vec<_> = owners.iter().map(|owner| owner.account).collect();
        let here = db::identity::identities_at(self.tx, self.tenant, published.connection.id, &ids).await?;
        Ok(here.into_keys().collect())
    }

    async fn check_owners(&mut self, before: &OwnersBefore) -> Result<(), ApplyError> {
        let model = self.model().await?;
        let owners = db::account::list_owners(self.tx, self.tenant, model.organizations.root()).await?;
        invariant::person_may_leave(usable(&owners), model.settings.min_owners, before.usable).map_err(ProvisionError::from)?;
        if self.retained(&owners).await? > before.retained {
            return Err(ApplyError::LastOwner);
        }
        let has_local = owners.iter().any(|owner| owner.usable && owner.has_local_credential);
        if before.usable > 0 && !has_local { Err(ApplyError::NoLocalOwner) } else { Ok(()) }
    }
}

fn usable(owners: &[OwnerRow]) -> i64 {
    i64::try_from(owners.iter().filter(|owner| owner.usable).count()).expect("a tenant has fewer owners than that")
}

/// The first owner-class role that is held at organizations, at the root, for everything below.
pub(super) fn owner_holding(model: &RoleModel) -> Option<Holding> {
    let role = model.roles().find(|role| role.owner_class && role.scope_kind.is_none() && !role.machine_only)?;
    Some(Holding { role: role.id, organization: model.organizations.root(), resource_scope: None, reach: Reach::Subtree })
}

fn changes_model(change: &Change) -> bool {
    match change {
        Change::CreateTenant { .. }
        | Change::UpdateTenant { .. }
        | Change::WriteCatalogue { .. }
        | Change::CreateRole { .. }
        | Change::UpdateRole { .. }
        | Change::CreateOrganization { .. }
        | Change::UpdateOrganization { .. }
        | Change::DeleteRole { .. }
        | Change::DeleteOrganization { .. } => true,
        Change::CreateConnection { .. }
        | Change::UpdateConnection { .. }
        | Change::AddCertificate { .. }
        | Change::PublishMapping { .. }
        | Change::WithdrawConnection { .. }
        | Change::PutAttributeSchema { .. }
        | Change::DeleteAttributeSchema
        | Change::CreateOwner { .. }
        | Change::UpdateOwner { .. }
        | Change::RestoreOwner { .. }
        | Change::WithdrawOwner { .. } => false,
    }
}

/// What was read in this transaction is still there, unless another one was faster.
fn sure(done: bool) -> Result<(), ApplyError> {
    if done { Ok(()) } else { Err(ApplyError::Meanwhile) }
}
