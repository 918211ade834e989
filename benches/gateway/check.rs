//! The permission check beside one indexed SELECT of the same driver: a tenant with 100,000 accounts of three assignments each, 2,000
//! organizations on eight levels and 300 roles. In this process: first without HTTP, so that what is compared is what asks the database,
//! then as an application asks, one question or a hundred in a request, but for the socket.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{Method, Request, StatusCode},
};
use rolegate::{
    admin::{
        check::{answer, permit},
        check_cache::CheckCache,
    },
    app::{App, Clock, Migrations, Random},
    config::Config,
    db::{self, Db, PoolSize, app_token::AppTokenRow},
    domain::{
        actor::Actor,
        assignment::{Holding, Origin, Reach},
        catalogue::Permission,
        id::{AccountId, AssignmentId, IdSource, OrganizationId, TenantId},
        model::RoleModel,
        name::{Slug, Title},
        organization::Organization,
        role::{ManagedGroups, ManagedRoles, Role},
        time::Timestamp,
    },
    http, keys,
    policy::{check::Question, preset::Preset},
    provision::PublishedCache,
};
use serde_json::json;
use tempfile::TempDir;
use tower::ServiceExt as _;

use crate::seed::{database, now};

const ACCOUNTS: usize = 100_000;
const ORGANIZATIONS: usize = 2_000;
const ROLES: usize = 300;
const ASSIGNMENTS: usize = 3;
const BATCH: usize = 100;
const ROUNDS: usize = 3_000;

struct World {
    db: Db,
    address: String,
    tenant: TenantId,
    accounts: Vec<AccountId>,
    organizations: Vec<OrganizationId>,
}

pub async fn measure(engine: &str) {
    eprintln!("== {engine}: permission checks");
    let folder = TempDir::new().unwrap();
    let address = match engine {
        "sqlite" => format!("sqlite://{}", folder.path().join("check.db").display()),
        _ => database("rolegate_bench_check"),
    };
    let world = World::plant(&address).await;
    let model = db::model::load_model(&world.db, world.tenant).await.unwrap();
    let deepest = model.organizations.iter().map(|one| model.organizations.line(one.id).count()).max().unwrap();
    assert_eq!(deepest, 8);
    let (published, cache) = (PublishedCache::default(), CheckCache::default());
    // The first fills the cache of models.
    world.ask(&model, &published, &cache, (1, 1), 0).await;
    world.select(0).await;
    let mut select = Duration::ZERO;
    // Of accounts that nobody asked about before, and of those that were asked about a moment ago.
    let (mut new, mut one) = (Duration::ZERO, Duration::ZERO);
    let (mut of_new, mut of_many, mut of_one) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
    // In turns, so that all of them meet the same machine.
    for n in 0..ROUNDS {
        select += world.select(n).await;
        new += world.ask(&model, &published, &cache, (1, 1), n).await;
        one += world.ask(&model, &published, &cache, (1, 1), n).await;
        if n.is_multiple_of(10) {
            let many = ROUNDS + n / 10 * BATCH;
            of_one += world.ask(&model, &published, &cache, (BATCH, 1), n).await;
            of_new += world.ask(&model, &published, &cache, (BATCH, BATCH), many).await;
            of_many += world.ask(&model, &published, &cache, (BATCH, BATCH), many).await;
        }
    }
    let rounds = u32::try_from(ROUNDS).unwrap();
    let (select, new, one) = (select / rounds, new / rounds, one / rounds);
    let (of_one, of_new, of_many) = (of_one / (rounds / 10), of_new / (rounds / 10), of_many / (rounds / 10));
    let ratio = |time: Duration, to: Duration| time.as_secs_f64() / to.as_secs_f64();
    println!("{engine}, one at a time: an indexed SELECT {select:?}");
    for (words, one, many) in [("for the first time", new, of_new), ("again", one, of_many)] {
        println!(
            "{engine}, {words}: a check {one:?} = {:.2} of them (at most 3); {BATCH} checks of {BATCH} accounts {many:?} = {:.2} checks (at most 10)",
            ratio(one, select),
            ratio(many, one)
        );
    }
    println!("{engine}: {BATCH} checks of one account {of_one:?} = {:.2} checks (at most 10)", ratio(of_one, one));
    world.measure_requests(engine).await;
    world.db.close().await;
}

impl World {
    async fn plant(address: &str) -> Self {
        let db = Db::open(address, PoolSize(4)).await.unwrap();
        db.migrate().await.unwrap();
        let mut ids = IdSource::new(now(), [43; 16]);
        let at = now();
        let tenant: TenantId = ids.make();
        let preset = Preset::find("idaas").unwrap();
        let made = preset.instantiate(|| ids.make());
        let slug = |text: &str| Slug::parse(text).unwrap();
        let title = |text: &str| Title::parse("name", text).unwrap();
        let row = db::tenant::Tenant {
            id: tenant,
            slug: slug("bench"),
            name: title("Bench"),
            preset: preset.key.clone(),
            preset_version: preset.version,
            settings: made.settings,
            file_settings: Some(std::collections::BTreeSet::new()),
            model_version: 1,
        };
        let organizations: Vec<OrganizationId> = (0..ORGANIZATIONS).map(|_| ids.make()).collect();
        let tree: Vec<_> = organizations
            .iter()
            .enumerate()
            .map(|(n, id)| Organization {
                id: *id,
                parent: (n > 0).then(|| organizations[(n - 1) / 3]),
                slug: slug(&format!("o{n}")),
                name: title(&format!("O {n}")),
            })
            .collect();
        let entities: Vec<_> = made.catalogue.iter().cloned().collect();
        let mut roles = made.roles;
        for n in roles.len()..ROLES {
            let entity = &entities[n % entities.len()];
            let permissions = [format!("{}:read", entity.key), "user_management:read".to_owned(), "organizations:*".to_owned()];
            roles.push(custom(ids.make(), &format!("Role {n}"), &permissions));
        }
        let mut tx = db.begin().await.unwrap();
        assert!(db::tenant::insert_tenant(&mut tx, &row, at).await.unwrap());
        assert!(db::organization::insert_organizations(&mut tx, tenant, &tree, false, at).await.unwrap());
        db::role::insert_entities(&mut tx, tenant, &entities).await.unwrap();
        assert!(db::role::insert_roles(&mut tx, tenant, &roles, false, at).await.unwrap());
        tx.commit().await.unwrap();
        let accounts: Vec<AccountId> = (0..ACCOUNTS).map(|_| ids.make()).collect();
        for (chunk, first) in accounts.chunks(1000).zip((0..).step_by(1000)) {
            plant_accounts(&db, &mut ids, tenant, chunk, first, &roles, &organizations, at).await;
        }
        if !db.is_sqlite() {
            let mut tx = db.begin().await.unwrap();
            tx.query("analyze account").run().await.unwrap();
            tx.query("analyze assignment").run().await.unwrap();
            tx.query("analyze assignment_origin").run().await.unwrap();
            tx.commit().await.unwrap();
        }
        Self { db, address: address.to_owned(), tenant, accounts, organizations }
    }

    /// The gateway on this database, and an application's token for all of the tenant.
    async fn serve(&self) -> (App, String, TempDir) {
        let folder = TempDir::new().unwrap();
        let variables =
            [("DATABASE_URL", self.address.as_str()), ("DATA_DIR", folder.path().to_str().unwrap()), ("PUBLIC_URL", "http://127.0.0.1:9")];
        let variables = variables.map(|(name, value)| (format!("ROLEGATE_{name}"), value.to_owned()));
        let config = Config::resolve(None, variables, &|_| unreachable!("there is no password file")).unwrap();
        let app = App::open_with(config, Migrations::Leave, Clock::System, Random::System).await.unwrap();
        let token = keys::app_token(app.random.bytes());
        let row = AppTokenRow {
            id: IdSource::new(now(), [44; 16]).make(),
            tenant: self.tenant,
            organization: self.organizations[0],
            name: "bench".to_owned(),
            created_by: None,
            created_at: app.now(),
            expires_at: app.now().plus_secs(3600),
            revoked_at: None,
            last_used_at: None,
        };
        let mut tx = app.db.begin().await.unwrap();
        db::app_token::insert_app_token(&mut tx, &row, &keys::hash(token.expose())).await.unwrap();
        tx.commit().await.unwrap();
        (app, token.expose().clone(), folder)
    }

    fn question(&self, n: usize, k: usize, accounts: usize) -> serde_json::Value {
        json!({
            "account": self.accounts[(n + k % accounts) * 7919 % ACCOUNTS], "entity": "user_management", "action": "read",
            "organization": self.organizations[(n + k) * 31 % ORGANIZATIONS],
        })
    }

    /// As [`measure`], request by request, in a task as requests are served: what a request costs beside the check counts here, once for
    /// one question as for a hundred. Of accounts that none of it has asked about, and of the same again.
    async fn measure_requests(&self, engine: &str) {
        let (app, token, _folder) = self.serve().await;
        let rounds = ROUNDS / 10;
        let kinds = [(1, 1), (BATCH, 1), (BATCH, BATCH)];
        let mut bodies = Vec::new();
        let mut n = ACCOUNTS * 2 / 5;
        for (count, accounts) in kinds.into_iter().cycle().take(kinds.len() * rounds) {
            let questions: Vec<_> = (0..count).map(|k| self.question(n, k, accounts)).collect();
            bodies.push(if let [question] = &questions[..] { question.to_string() } else { json!(questions).to_string() });
            n += accounts;
        }
        assert!(n < ACCOUNTS);
        let (first_of_all, router) = (self.question(0, 0, 1).to_string(), http::router(app.clone()));
        let work = async move {
            // Fills the cache of models.
            send(&router, &token, first_of_all).await;
            let (mut first, mut again) = ([Duration::ZERO; 3], [Duration::ZERO; 3]);
            for (at, body) in bodies.into_iter().enumerate() {
                first[at % 3] += send(&router, &token, body.clone()).await;
                again[at % 3] += send(&router, &token, body).await;
            }
            [first, again]
        };
        let [first, again] = tokio::spawn(work).await.unwrap();
        let rounds = u32::try_from(rounds).unwrap();
        for (words, [one, of_one, of_many]) in [("for the first time", first), ("again", again)] {
            let ratio = |many: Duration| many.as_secs_f64() / one.as_secs_f64();
            println!(
                "{engine}, requests, {words}: a check {:?}; {BATCH} checks of one account {:?} = {:.2} of them, of {BATCH} accounts {:?} = {:.2} (at most 10)",
                one / rounds,
                of_one / rounds,
                ratio(of_one),
                of_many / rounds,
                ratio(of_many)
            );
        }
        app.db.close().await;
    }

    /// What a check cannot do without: one row by its key.
    async fn select(&self, n: usize) -> Duration {
        let account = self.accounts[n * 7919 % ACCOUNTS].to_string();
        let begun = Instant::now();
        let row: Option<(String,)> = self
            .db
            .query("select status from account where tenant = $1 and id = $2")
            .bind(self.tenant.to_string())
            .bind(account)
            .optional()
            .await
            .unwrap();
        let elapsed = begun.elapsed();
        assert_eq!(row.unwrap().0, "active");
        elapsed
    }

    /// So many questions about so many accounts.
    async fn ask(
        &self,
        model: &RoleModel,
        published: &PublishedCache,
        cache: &CheckCache,
        (count, accounts): (usize, usize),
        n: usize,
    ) -> Duration {
        let begun = Instant::now();
        let asked: Vec<_> = (0..count)
            .map(|k| {
                let question = Question {
                    entity: "user_management",
                    action: "read",
                    organization: self.organizations[(n + k) * 31 % ORGANIZATIONS],
                    resource_scope: None,
                };
                permit(&Actor::HostOperator, model, self.accounts[(n + k % accounts) * 7919 % ACCOUNTS], &question).unwrap()
            })
            .collect();
        let answers = answer(&self.db, published, cache, self.tenant, &Actor::HostOperator, &asked).await.unwrap();
        let bytes = serde_json::to_vec(&answers).unwrap();
        let elapsed = begun.elapsed();
        assert!(answers.len() == count && !bytes.is_empty());
        elapsed
    }
}

/// How long it takes until the whole answer is there.
async fn send(router: &Router, token: &str, body: String) -> Duration {
    let request = Request::builder().method(Method::POST).uri("/api/v1/check");
    let request = request.header("authorization", format!("Bearer {token}")).header("content-type", "application/json");
    let request = request.body(Body::from(body)).unwrap();
    let begun = Instant::now();
    let answer = router.clone().oneshot(request).await.unwrap();
    let status = answer.status();
    let body = to_bytes(answer.into_body(), usize::MAX).await.unwrap();
    let elapsed = begun.elapsed();
    assert!(status == StatusCode::OK && !body.is_empty(), "{status}: {}", String::from_utf8_lossy(&body));
    elapsed
}

fn custom(id: rolegate::domain::id::RoleId, name: &str, permissions: &[String]) -> Role {
    Role {
        id,
        key: None,
        name: Title::parse("role", name).unwrap(),
        description: String::new(),
        permissions: permissions.iter().map(|text| Permission::parse(text).unwrap()).collect(),
        system: false,
        owner_class: false,
        root_only: false,
        machine_only: false,
        locked_fields: Vec::new(),
        exclusive_family: None,
        rank: 0,
        managed_roles: ManagedRoles::All,
        managed_groups: ManagedGroups::All,
        auto_assign_on_join: false,
        auto_assign_first_user: false,
        scope_kind: None,
    }
}

#[expect(clippy::too_many_arguments, reason = "one table of the world after the other")]
async fn plant_accounts(
    db: &Db,
    ids: &mut IdSource,
    tenant: TenantId,
    accounts: &[AccountId],
    first: usize,
    roles: &[Role],
    organizations: &[OrganizationId],
    at: Timestamp,
) {
    let mut tx = db.begin().await.unwrap();
    let mut query = tx.query_set(
        "insert into account (tenant, id, user_name, user_name_key, kind, status, has_local_credential, from_file, created_at_ms, changed_at_ms)
         values {($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)}",
        accounts.len(),
    );
    for (account, n) in accounts.iter().zip(first..) {
        let name = format!("person{n}@bench.example");
        query = query.bind(tenant.to_string()).bind(account.to_string()).bind(name.clone()).bind(name).bind("human").bind("active");
        query = query.bind(false).bind(false).bind(at.millis()).bind(at.millis());
    }
    query.run().await.unwrap();
    let mut holdings: BTreeMap<AssignmentId, (AccountId, Holding)> = BTreeMap::new();
    for (account, n) in accounts.iter().zip(first..) {
        for k in 0..ASSIGNMENTS {
            let holding = Holding {
                role: roles[(n * 3 + k) % roles.len()].id,
                organization: organizations[(n * 7 + k * 311) % organizations.len()],
                resource_scope: None,
                reach: Reach::Subtree,
            };
            holdings.insert(ids.make(), (*account, holding));
        }
    }
    let rows: Vec<_> = holdings.iter().map(|(id, (account, holding))| (*id, *account, *holding)).collect();
    db::assignment::insert_assignments(&mut tx, tenant, &rows, at).await.unwrap();
    let origins: Vec<_> = holdings
        .iter()
        .map(|(id, (account, _))| db::assignment::NewOrigin {
            assignment: *id,
            account: *account,
            origin: Origin::Manual { by: None },
            may_delegate: false,
        })
        .collect();
    db::assignment::insert_origins(&mut tx, tenant, &origins, at).await.unwrap();
    tx.commit().await.unwrap();
}
