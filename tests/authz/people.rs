//! People with a session, who hold one role each.

use std::collections::BTreeMap;

use rolegate::{
    admin::{
        app_token,
        session::{self, SignedIn},
    },
    db::{self, account::AccountRow, assignment::NewOrigin},
    domain::{
        account::{Account, AccountKind, SignInStatus},
        actor::Actor,
        assignment::{Holding, Origin, Reach},
        connection::Audience,
        id::{AccountId, AssignmentId, ConnectionId, ScopeId, TenantId},
        model::RoleModel,
        name::Title,
    },
    keys,
    policy::access::authorize_subtree,
};

use crate::common::installation::{Browser, Gateway};

/// A tenant with one connection that speaks both protocols, and an owner.
pub fn tenant(slug: &str, preset: &str) -> String {
    format!(
        r#"
[tenant]
slug = "{slug}"
name = "{slug}"
preset = "{preset}"
settings = {{ min_owners = 1, service_accounts = true }}

[[owners]]
email = "owner@{slug}.example"
name = "First Owner"

[[connections]]
slug = "{slug}-okta"
audience = "self_service"
[connections.scim]
enabled = true
[connections.saml]
enabled = true
jit = "create"
idp_metadata = "idp.xml"
"#
    )
}

pub async fn model(gateway: &Gateway, tenant: TenantId) -> RoleModel {
    db::model::load_model(&gateway.app.db, tenant).await.unwrap()
}

/// Somebody with a session who holds the role at the root (in a context of it, where the role is held in contexts), or no role at all.
pub async fn holder<'g>(gateway: &'g Gateway, model: &RoleModel, role: Option<&str>) -> Browser<'g> {
    holder_on(gateway, model, role, Audience::Admin).await
}

/// As [`holder`], with a session of this kind.
pub async fn holder_on<'g>(gateway: &'g Gateway, model: &RoleModel, role: Option<&str>, surface: Audience) -> Browser<'g> {
    let app = &gateway.app;
    let mut occasion = app.occasion(Actor::HostOperator, "test");
    let (account, root) = (occasion.ids.make(), model.organizations.root());
    let row = AccountRow {
        account: Account {
            id: account,
            user_name: role.unwrap_or("nobody").to_owned(),
            email: None,
            display_name: None,
            kind: AccountKind::Human,
            home_organization: Some(root),
            status: SignInStatus::Active,
        },
        standing: SignInStatus::Active,
        profile_connection: None,
        has_local_credential: true,
        from_file: false,
    };
    let mut tx = app.db.begin().await.unwrap();
    db::account::insert_accounts(&mut tx, model.tenant, &[&row], occasion.now).await.unwrap();
    if let Some(role) = role.map(|name| model.role_named(name).unwrap_or_else(|| panic!("no role is named {name}"))) {
        let resource_scope: Option<ScopeId> = role.scope_kind.as_ref().map(|_| occasion.ids.make());
        if let Some(scope) = resource_scope {
            let sql =
                "insert into resource_scope (tenant, id, organization, kind, name, created_at_ms) values ($1, $2, $3, 'context', 'c', 0)";
            let query = tx.query(sql).bind(model.tenant.to_string()).bind(scope.to_string()).bind(root.to_string());
            query.run().await.unwrap();
        }
        let reach = if resource_scope.is_some() { Reach::Organization } else { Reach::Subtree };
        let holding = Holding { role: role.id, organization: root, resource_scope, reach };
        let assignment: AssignmentId = occasion.ids.make();
        db::assignment::insert_assignments(&mut tx, model.tenant, &[(assignment, account, holding)], occasion.now).await.unwrap();
        let origin = NewOrigin { assignment, account, origin: Origin::Manual { by: None }, may_delegate: false };
        db::assignment::insert_origins(&mut tx, model.tenant, &[origin], occasion.now).await.unwrap();
    }
    tx.commit().await.unwrap();
    signed_in_on(gateway, model.tenant, account, None, surface).await
}

/// A session of somebody who came through the connection, or by no connection at all.
pub async fn signed_in(gateway: &Gateway, tenant: TenantId, account: AccountId, connection: Option<ConnectionId>) -> Browser<'_> {
    signed_in_on(gateway, tenant, account, connection, Audience::Admin).await
}

async fn signed_in_on(
    gateway: &Gateway,
    tenant: TenantId,
    account: AccountId,
    connection: Option<ConnectionId>,
    surface: Audience,
) -> Browser<'_> {
    let app = &gateway.app;
    let mut occasion = app.occasion(Actor::HostOperator, "test");
    let mut tx = app.db.begin().await.unwrap();
    let secret = keys::secret(app.random.bytes());
    let signed_in = SignedIn {
        id: occasion.ids.make(),
        tenant,
        account,
        connection: connection.map(|id| (id, i64::MAX)),
        surface,
        session_index: None,
        name_id: None,
        expires_at: occasion.now.plus_secs(3600),
        former_sessions: Vec::new(),
    };
    let settings = db::tenant::find_tenant(&mut tx, tenant).await.unwrap().unwrap().settings;
    session::open(&mut tx, &settings, &mut occasion, signed_in, &secret).await.unwrap();
    tx.commit().await.unwrap();
    let cookies = BTreeMap::from([("__Host-rolegate_session".to_owned(), secret.expose().clone())]);
    Browser { gateway, cookies }
}

/// A bearer of the connection.
pub async fn scim_token(gateway: &Gateway, slug: &str) -> String {
    let app = &gateway.app;
    let row = db::connection::find_connection_by_slug(&app.db, slug).await.unwrap().unwrap().connection;
    let (token, now) = (keys::scim_token(app.random.bytes()), app.now());
    let id = app.occasion(Actor::HostOperator, "test").ids.make();
    let mut tx = app.db.begin().await.unwrap();
    db::token::insert_token(&mut tx, row.tenant, row.id, id, &keys::hash(token.expose()), now, now.plus_secs(3600)).await.unwrap();
    tx.commit().await.unwrap();
    token.expose().clone()
}

/// A token of an application that looks at the whole tenant.
pub async fn app_token(gateway: &Gateway, model: &RoleModel) -> String {
    let app = &gateway.app;
    let mut occasion = app.occasion(Actor::HostOperator, "test");
    let grant = authorize_subtree(&Actor::HostOperator, model, model.organizations.root()).unwrap();
    let name = Title::parse("name", "dashboard").unwrap();
    let made = app_token::create(&grant, &app.db, &mut occasion, model.tenant, &name, 3600, app.random.bytes()).await.unwrap();
    made.1.expose().clone()
}
