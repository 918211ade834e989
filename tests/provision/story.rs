//! A tenant that tests tell stories about.
//!
//! ```text
//! acme (two identity providers: okta at the root, entra at acme-eu) ─┬─ acme-eu
//!                                                                    └─ acme-us
//! ```

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicI64, AtomicU64, Ordering},
};

use rolegate::{
    db::{self, Db, PoolSize},
    domain::{
        account::{Account, AccountKind, SignInStatus},
        actor::{Actor, Occasion, Tally},
        assignment::{Holding, Origin, Reach},
        catalogue::Permission,
        connection::{Audience, Authority, Connection, Correlation, Jit, SamlSettings, ScimSettings},
        id::{AccountId, ConnectionId, GroupId, Id, IdSource, OrganizationId, RoleId, RuleId, TenantId, TokenId, kind},
        identity::{GroupRef, Identity, Protocol},
        name::{Slug, Title, fold},
        organization::Organization,
        role::{ManagedGroups, ManagedRoles, Role},
    },
    policy::{mapping::Mapping, preset::Preset},
    provision::{self, Precondition, ProvisionError, Published, PublishedCache, sign_in::Claim},
    scim::{
        group::{Group, GroupChange, Member, MemberChange},
        resource::User,
    },
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::common::{
    NOW,
    engines::{Engine, Fresh},
};

pub use rolegate::{db::identity::UserRow, provision::sign_in::SignIn};

pub const OKTA: Idp = Idp(70);
pub const ENTRA: Idp = Idp(71);

/// One of the identity providers of the story.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Idp(pub u128);

impl Idp {
    pub fn id(self) -> ConnectionId {
        id(self.0)
    }

    fn slug(self) -> &'static str {
        if self == OKTA { "okta" } else { "entra" }
    }
}

pub fn id<Kind>(value: u128) -> Id<Kind> {
    Id::new(Uuid::from_u128(value))
}

pub struct Story {
    pub db: Db,
    /// Removes the database in the end.
    _fresh: Fresh,
    pub tenant: TenantId,
    cache: PublishedCache,
    roles: BTreeMap<String, RoleId>,
    organizations: BTreeMap<&'static str, OrganizationId>,
    seed: AtomicU64,
    later_ms: AtomicI64,
    /// How often a change had to be begun again.
    pub begun_again: AtomicU64,
}

/// What a story changes of its connections before it begins.
pub struct Setting {
    pub jit: Jit,
    pub authority: Authority,
    pub allow_owner_grants: bool,
    pub saml: SamlSettings,
}

impl Default for Setting {
    fn default() -> Self {
        let correlate = Some(Correlation { scim: "userName".into(), saml: "NameID".into() });
        let saml = SamlSettings { enabled: true, idp_entity_id: "https://idp.example".into(), correlate, ..SamlSettings::default() };
        Self { jit: Jit::Create, authority: Authority::default(), allow_owner_grants: true, saml }
    }
}

impl Story {
    pub async fn begin(engine: Engine) -> Self {
        Self::begin_with(engine, Setting::default()).await
    }

    pub async fn begin_with(engine: Engine, setting: Setting) -> Self {
        let fresh = engine.fresh().await;
        // As many as race in earnest.
        let db = Db::open(&fresh.address, PoolSize(12)).await.unwrap();
        let tenant: TenantId = id(9);
        let organizations = BTreeMap::from([("acme", id(1)), ("acme-eu", id(2)), ("acme-us", id(3))]);
        let preset = Preset::find("owner-member").unwrap();
        let mut next = 100;
        let mut made = preset.instantiate(|| {
            next += 1;
            id(next)
        });
        made.roles.extend([custom_role(900, "Editors"), custom_role(901, "Auditors"), custom_role(902, "Operators")]);
        let mut tx = db.begin().await.unwrap();
        let row = db::tenant::Tenant {
            id: tenant,
            slug: Slug::parse("acme").unwrap(),
            name: Title::parse("name", "Acme").unwrap(),
            preset: preset.key.clone(),
            preset_version: preset.version,
            settings: made.settings,
            file_settings: Some(BTreeSet::new()),
            model_version: 1,
        };
        assert!(db::tenant::insert_tenant(&mut tx, &row, NOW).await.unwrap());
        let places: Vec<_> = organizations
            .iter()
            .map(|(slug, id)| Organization {
                id: *id,
                parent: (*slug != "acme").then_some(organizations["acme"]),
                slug: Slug::parse(slug).unwrap(),
                name: Title::parse("name", slug).unwrap(),
            })
            .collect();
        assert!(db::organization::insert_organizations(&mut tx, tenant, &places, false, NOW).await.unwrap());
        let entities: Vec<_> = made.catalogue.iter().cloned().collect();
        db::role::insert_entities(&mut tx, tenant, &entities).await.unwrap();
        assert!(db::role::insert_roles(&mut tx, tenant, &made.roles, false, NOW).await.unwrap());
        for idp in [OKTA, ENTRA] {
            let connection = Connection {
                id: idp.id(),
                tenant,
                organization: if idp == OKTA { organizations["acme"] } else { organizations["acme-eu"] },
                slug: Slug::parse(idp.slug()).unwrap(),
                audience: Audience::SelfService,
                authority: setting.authority,
                enabled: true,
                allow_owner_grants: setting.allow_owner_grants,
                scim: ScimSettings { enabled: true, ..ScimSettings::default() },
                saml: SamlSettings { jit: Some(setting.jit), ..setting.saml.clone() },
                attributes: BTreeMap::new(),
                version: 1,
            };
            assert!(db::connection::insert_connection(&mut tx, &connection, false, NOW).await.unwrap());
        }
        tx.commit().await.unwrap();
        Self {
            db,
            _fresh: fresh,
            tenant,
            cache: PublishedCache::default(),
            roles: made.roles.iter().map(|role| (fold(role.name.as_str()), role.id)).collect(),
            organizations,
            seed: AtomicU64::new(0),
            later_ms: AtomicI64::new(0),
            begun_again: AtomicU64::new(0),
        }
    }

    pub fn role(&self, name: &str) -> RoleId {
        *self.roles.get(&fold(name)).unwrap_or_else(|| panic!("no role is named {name}"))
    }

    pub fn holding(&self, role: &str, at: &str) -> Holding {
        Holding { role: self.role(role), organization: self.organizations[at], resource_scope: None, reach: Reach::Subtree }
    }

    pub fn occasion(&self, actor: Actor) -> Occasion {
        let seed = self.seed.fetch_add(1, Ordering::SeqCst);
        let now = NOW.plus_secs(self.later_ms.fetch_add(1, Ordering::SeqCst));
        let mut bytes = [0x5a; 16];
        bytes[..8].copy_from_slice(&seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
        bytes[8..].copy_from_slice(&seed.to_le_bytes());
        Occasion {
            actor,
            now,
            ids: IdSource::new(now, bytes),
            correlation: format!("test-{seed}"),
            client_request_id: None,
            tally: Tally::default(),
        }
    }

    /// Does a change in a transaction of its own, and again while another one is in the way.
    pub async fn at<T>(
        &self,
        idp: Idp,
        actor: Actor,
        work: impl AsyncFn(&mut db::Tx, &Published, &mut Occasion) -> Result<T, ProvisionError>,
    ) -> Result<T, ProvisionError> {
        for _ in 0..50 {
            let mut tx = self.db.begin().await?;
            let mut occasion = self.occasion(actor.clone());
            let published = self.cache.read(&mut tx, self.tenant, idp.id()).await?.expect("the story has the connection");
            match work(&mut tx, &published, &mut occasion).await {
                Ok(done) => match tx.commit().await {
                    Ok(()) => return Ok(done),
                    Err(error) if error.is_transient() => {}
                    Err(error) => return Err(error.into()),
                },
                Err(ProvisionError::Again) => {}
                Err(error) => {
                    drop(tx);
                    if let ProvisionError::OwnersAccount(owner) = error {
                        provision::user::tell_of_claim(&self.db, self.tenant, idp.id(), &mut occasion, owner).await?;
                    }
                    return Err(error);
                }
            }
            self.begun_again.fetch_add(1, Ordering::SeqCst);
        }
        Err(ProvisionError::Again)
    }

    pub async fn create(&self, idp: Idp, body: Value) -> Result<AccountId, ProvisionError> {
        let user = user(body);
        let work = async |tx: &mut db::Tx, published: &Published, occasion: &mut Occasion| {
            provision::user::create_user(tx, published, occasion, user.clone()).await.map(|created| created.user)
        };
        Ok(self.at(idp, scim(idp), work).await?.id)
    }

    /// Sets attributes; `null` takes one away.
    pub async fn patch(&self, idp: Idp, account: AccountId, changes: Value) -> Result<UserRow, ProvisionError> {
        let Value::Object(changes) = changes else { panic!("changes are an object") };
        let work = async |tx: &mut db::Tx, published: &Published, occasion: &mut Occasion| {
            let change = |before: &User| {
                let mut after = before.clone();
                for (name, value) in changes.clone() {
                    if value.is_null() {
                        after.attributes.remove(&name)
                    } else {
                        after.attributes.insert(name, value)
                    };
                }
                Ok(after)
            };
            provision::user::change_user(tx, published, occasion, account, Precondition::None, change).await
        };
        self.at(idp, scim(idp), work).await
    }

    pub async fn delete(&self, idp: Idp, account: AccountId) -> Result<(), ProvisionError> {
        let work = async |tx: &mut db::Tx, published: &Published, occasion: &mut Occasion| {
            provision::user::delete_user(tx, published, occasion, account, Precondition::None).await
        };
        self.at(idp, scim(idp), work).await
    }

    pub async fn create_group(&self, idp: Idp, name: &str, members: &[AccountId]) -> Result<GroupId, ProvisionError> {
        let group = Group { display_name: name.into(), external_id: None, members: people(members) };
        let work = async |tx: &mut db::Tx, published: &Published, occasion: &mut Occasion| {
            provision::group::create_group(tx, published, occasion, group.clone()).await
        };
        Ok(self.at(idp, scim(idp), work).await?.id)
    }

    pub async fn change_group(&self, idp: Idp, group: GroupId, change: GroupChange) -> Result<(), ProvisionError> {
        let work = async |tx: &mut db::Tx, published: &Published, occasion: &mut Occasion| {
            provision::group::change_group(tx, published, occasion, group, Precondition::None, change.clone()).await
        };
        self.at(idp, scim(idp), work).await.map(drop)
    }

    pub async fn join(&self, idp: Idp, group: GroupId, members: &[AccountId]) -> Result<(), ProvisionError> {
        let change = GroupChange { members: vec![MemberChange::Add(people(members))], ..GroupChange::default() };
        self.change_group(idp, group, change).await
    }

    pub async fn leave(&self, idp: Idp, group: GroupId, members: &[AccountId]) -> Result<(), ProvisionError> {
        let members = members.iter().map(ToString::to_string).collect();
        let change = GroupChange { members: vec![MemberChange::Remove(members)], ..GroupChange::default() };
        self.change_group(idp, group, change).await
    }

    pub async fn rename_group(&self, idp: Idp, group: GroupId, name: &str) -> Result<(), ProvisionError> {
        self.change_group(idp, group, GroupChange { display_name: Some(name.into()), ..GroupChange::default() }).await
    }

    pub async fn delete_group(&self, idp: Idp, group: GroupId) -> Result<(), ProvisionError> {
        let work = async |tx: &mut db::Tx, published: &Published, occasion: &mut Occasion| {
            provision::group::delete_group(tx, published, occasion, group, Precondition::None).await
        };
        self.at(idp, scim(idp), work).await
    }

    /// A verified response for `subject`; `None`: it says nothing of groups.
    pub async fn sign_in(&self, idp: Idp, subject: &str, groups: Option<&[&str]>) -> Result<SignIn, ProvisionError> {
        self.sign_in_as(idp, subject, json!({ "userName": subject }), groups).await
    }

    pub async fn sign_in_as(&self, idp: Idp, subject: &str, facts: Value, groups: Option<&[&str]>) -> Result<SignIn, ProvisionError> {
        let Value::Object(attributes) = facts else { panic!("facts are an object") };
        let groups = groups.map(|names| names.iter().map(|name| GroupRef { value: (*name).to_owned(), display: None }).collect());
        let identity = Identity { source: Protocol::Saml, attributes, groups, active: true, authn_context: None };
        let claim = Claim { subject: subject.to_owned(), correlation: Some(subject.to_owned()), identity };
        let work = async |tx: &mut db::Tx, published: &Published, occasion: &mut Occasion| {
            let sought = provision::sign_in::seek(tx, &published.connection, &claim).await?;
            provision::sign_in::sign_in(tx, published, occasion, claim.clone(), sought).await
        };
        self.at(idp, Actor::Saml { connection: idp.id() }, work).await
    }

    /// As [`Story::sign_in`], for somebody who is let in.
    pub async fn admitted(&self, idp: Idp, subject: &str, groups: Option<&[&str]>) -> AccountId {
        match self.sign_in(idp, subject, groups).await.unwrap() {
            SignIn::Admitted { account, .. } => account,
            SignIn::Refused(refused) => panic!("{subject} was refused: {refused}"),
        }
    }

    /// Publishes rules (`mapping` without its version) and evaluates everybody again.
    pub async fn publish(&self, idp: Idp, mapping: Value) {
        self.publish_only(idp, mapping).await;
        self.remap(idp).await;
    }

    pub async fn publish_only(&self, idp: Idp, mut mapping: Value) {
        let mut tx = self.db.begin().await.unwrap();
        let row = db::connection::find_connection(&mut tx, self.tenant, idp.id()).await.unwrap().unwrap();
        let version = row.mapping_version + 1;
        mapping["version"] = json!(version);
        let mapping: Mapping = serde_json::from_value(mapping).unwrap();
        let occasion = self.occasion(Actor::HostOperator);
        assert!(provision::published::publish(&mut tx, self.tenant, idp.id(), &mapping, None, occasion.now).await.unwrap());
        tx.commit().await.unwrap();
    }

    /// The job that follows a publication.
    pub async fn remap(&self, idp: Idp) {
        let work = async |tx: &mut db::Tx, published: &Published, occasion: &mut Occasion| {
            provision::remap::remap_chunk(tx, published, occasion).await
        };
        while self.at(idp, Actor::System, work).await.unwrap() == provision::remap::CHUNK {}
    }

    /// A person with a way to sign in of their own.
    pub async fn local_account(&self, name: &str) -> AccountId {
        let mut occasion = self.occasion(Actor::HostOperator);
        let account = Account {
            id: occasion.ids.make(),
            user_name: name.to_owned(),
            email: Some(name.to_owned()),
            display_name: None,
            kind: AccountKind::Human,
            home_organization: Some(self.organizations["acme"]),
            status: SignInStatus::Active,
        };
        let row = db::account::AccountRow {
            account,
            standing: SignInStatus::Active,
            profile_connection: None,
            has_local_credential: true,
            from_file: false,
        };
        let mut tx = self.db.begin().await.unwrap();
        db::account::insert_accounts(&mut tx, self.tenant, &[&row], occasion.now).await.unwrap();
        tx.commit().await.unwrap();
        row.account.id
    }

    /// What an administrator does to somebody.
    pub async fn block(&self, account: AccountId) {
        self.decide(account, SignInStatus::Blocked).await;
    }

    pub async fn decide(&self, account: AccountId, status: SignInStatus) {
        let mut tx = self.db.begin().await.unwrap();
        let mut row = db::account::lock_accounts(&mut tx, self.tenant, &[account]).await.unwrap().remove(&account).unwrap();
        row.decide(status);
        db::account::update_account(&mut tx, self.tenant, &row, NOW).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// What an owner does who says that both are one person.
    pub async fn link(&self, idp: Idp, account: AccountId, subject: &str) {
        let mut tx = self.db.begin().await.unwrap();
        let row = db::identity::IdentityRow {
            connection: idp.id(),
            account,
            subject: Some(subject.to_owned()),
            renamed: false,
            active: true,
            scim_state: db::identity::ScimState::None,
            scim: None,
            saml: None,
            mapping_version: 0,
        };
        db::identity::insert_identities(&mut tx, self.tenant, &[(&row, None)]).await.unwrap();
        tx.commit().await.unwrap();
    }

    pub async fn grant(&self, account: AccountId, role: &str, at: &str) -> Result<bool, ProvisionError> {
        let holding = self.holding(role, at);
        let work = async |tx: &mut db::Tx, published: &Published, occasion: &mut Occasion| {
            let origin = Origin::Manual { by: None };
            provision::grant::grant(tx, &published.model, occasion, account, holding, origin, false).await
        };
        self.at(OKTA, Actor::HostOperator, work).await
    }

    pub async fn revoke(&self, account: AccountId, role: &str, at: &str) -> Result<bool, ProvisionError> {
        let holding = self.holding(role, at);
        let work = async |tx: &mut db::Tx, published: &Published, occasion: &mut Occasion| {
            let whose = |origin: &Origin| matches!(origin, Origin::Manual { .. });
            provision::grant::revoke(tx, &published.model, occasion, account, holding, whose).await
        };
        self.at(OKTA, Actor::HostOperator, work).await
    }

    /// What an account holds and why, in words: `Editors at acme-eu: scim_rule okta 1`, one line an origin.
    pub async fn held(&self, account: AccountId) -> Vec<String> {
        let held = db::assignment::list_held(&self.db, self.tenant, account).await.unwrap();
        let mut lines = Vec::new();
        for assignment in held {
            assert!(!assignment.origins.is_empty(), "invariant 2");
            for row in assignment.origins {
                lines.push(format!("{}: {}", self.place(&assignment.holding), because(&row.origin)));
            }
        }
        lines.sort();
        lines
    }

    fn place(&self, holding: &Holding) -> String {
        let role = self.roles.iter().find(|(_, id)| **id == holding.role).map_or("?", |(name, _)| name);
        let at = self.organizations.iter().find(|(_, id)| **id == holding.organization).map_or("?", |(slug, _)| slug);
        format!("{role} at {at}")
    }

    pub async fn status(&self, account: AccountId) -> SignInStatus {
        self.account(account).await.account.status
    }

    pub async fn account(&self, account: AccountId) -> db::account::AccountRow {
        db::account::find_account(&self.db, self.tenant, account).await.unwrap().expect("the account is there")
    }

    /// A session, as the shell begins one after the sign-in; `None` for a local one.
    pub async fn session(&self, account: AccountId, idp: Option<Idp>) {
        let mut occasion = self.occasion(Actor::HostOperator);
        let session = db::session::SessionRow {
            name_id: None,
            rights: None,
            id: occasion.ids.make(),
            tenant: self.tenant,
            account,
            connection: idp.map(Idp::id),
            connection_version: 1,
            surface: Audience::Admin,
            session_index: None,
            created_at: occasion.now,
            expires_at: occasion.now.plus_secs(3600),
            last_seen_at: occasion.now,
            csrf_hash: String::new(),
        };
        let mut tx = self.db.begin().await.unwrap();
        db::session::insert_session(&mut tx, &session, &session.id.to_string()).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// A number out of one row: for what has no reader of its own.
    pub async fn count(&self, sql: &'static str) -> i64 {
        let row: Option<(i64,)> = self.db.query(sql).bind(self.tenant.to_string()).optional().await.unwrap();
        row.unwrap().0
    }

    /// Brings about what no change through the core does.
    pub async fn execute(&self, sql: &'static str) {
        let mut tx = self.db.begin().await.unwrap();
        tx.query(sql).bind(self.tenant.to_string()).run().await.unwrap();
        tx.commit().await.unwrap();
    }

    pub async fn audited(&self) -> i64 {
        self.count("select count(*) from audit where tenant = $1").await
    }

    pub async fn sessions(&self) -> i64 {
        self.count("select count(*) from session where tenant = $1").await
    }

    /// What somebody should look at, in the order of its coming.
    pub async fn attention(&self) -> Vec<String> {
        db::attention::list_open(&self.db, self.tenant, None, 100).await.unwrap().into_iter().map(|item| item.kind).collect()
    }
}

fn because(origin: &Origin) -> String {
    let idp = origin.connection().map(|id| if id == OKTA.id() { " okta" } else { " entra" }).unwrap_or_default();
    let rule = origin.rule().map(|rule| format!(" {}", number(rule))).unwrap_or_default();
    format!("{}{idp}{rule}", origin.kind())
}

/// The last digits of a rule's id, as the tests number them.
fn number(rule: RuleId) -> String {
    let text = rule.to_string();
    text.rsplit('-').next().unwrap().trim_start_matches('0').to_owned()
}

pub fn scim(idp: Idp) -> Actor {
    let token: TokenId = id(idp.0 + 1000);
    Actor::Scim { connection: idp.id(), token }
}

pub fn user(body: Value) -> User {
    let Value::Object(attributes) = body else { panic!("a user is an object") };
    User { attributes }
}

/// A person as a SCIM client sends one.
pub fn person(name: &str) -> Value {
    json!({ "userName": name, "externalId": format!("x-{name}"), "active": true })
}

pub fn people(accounts: &[AccountId]) -> Vec<Member> {
    accounts.iter().map(|account| Member { value: account.to_string(), kind: None, display: None }).collect()
}

pub fn group_member(group: GroupId) -> Member {
    Member { value: group.to_string(), kind: None, display: None }
}

/// Rule `number`: whoever it is true of gets the role there.
pub fn grants(number: u128, when: &str, role: RoleId, at: u128) -> Value {
    let organization: OrganizationId = id(at);
    rule(number, when, &[json!({ "grant": { "role": role, "organization": { "fixed": organization }, "reach": "subtree" } })])
}

pub fn rule(number: u128, when: &str, effects: &[Value]) -> Value {
    let rule: RuleId = id(number);
    json!({ "id": rule, "name": format!("rule {number}"), "when": when, "effects": effects })
}

pub const ACME: u128 = 1;
pub const EU: u128 = 2;
pub const US: u128 = 3;

fn custom_role(value: u128, name: &str) -> Role {
    let role: Id<kind::Role> = id(value);
    Role {
        id: role,
        key: None,
        name: Title::parse("role", name).unwrap(),
        description: String::new(),
        permissions: [Permission::parse("*:read").unwrap()].into(),
        system: false,
        owner_class: false,
        root_only: false,
        machine_only: false,
        locked_fields: Vec::new(),
        exclusive_family: None,
        rank: 0,
        managed_roles: ManagedRoles::All,
        owner_named: std::collections::BTreeSet::new(),
        managed_groups: ManagedGroups::All,
        auto_assign_on_join: false,
        auto_assign_first_user: false,
        scope_kind: None,
    }
}
