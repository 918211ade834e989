//! Accounts of people of whom nobody knew: any number of them by the same few statements.

use serde_json::json;

use super::{
    ProvisionError, Published,
    affiliation::{self, Joining},
    reconcile::{Person, reconcile},
    record::Record,
    remap::write_homes,
    user::{resource, settle_profile, taken, with_mapping},
};
use crate::{
    db::{
        self, Tx,
        account::AccountRow,
        identity::{IdentityRow, ScimFacts, ScimKeys, ScimState, UserRow},
    },
    domain::{
        account::{Account, AccountKind, SignInStatus},
        actor::Occasion,
    },
    scim::resource::User,
};

/// Makes the accounts of these resources, in their order; the caller has seen that no account of the connection answers to any of them.
pub(super) async fn make_users(
    tx: &mut Tx,
    published: &Published,
    occasion: &mut Occasion,
    users: Vec<(User, ScimKeys)>,
) -> Result<Vec<UserRow>, ProvisionError> {
    // Nothing but the userName of what is new here can be another's.
    write_users(tx, published, occasion, users).await.map_err(|error| match error {
        ProvisionError::Db(error) => taken(error),
        error => error,
    })
}

async fn write_users(
    tx: &mut Tx,
    published: &Published,
    occasion: &mut Occasion,
    users: Vec<(User, ScimKeys)>,
) -> Result<Vec<UserRow>, ProvisionError> {
    let (tenant, connection) = (published.tenant(), &published.connection);
    let mut record = Record::default();
    let (mut people, mut keys) = (Vec::with_capacity(users.len()), Vec::with_capacity(users.len()));
    for (user, looked_up_by) in users {
        let person = new_user(published, occasion, user);
        let detail = json!({ "connection": connection.id, "active": person.identity.active });
        record.note("account.created", "account", &person.identity.account, detail);
        people.push(person);
        keys.push(looked_up_by);
    }
    let accounts: Vec<&AccountRow> = people.iter().map(|person| &person.account).collect();
    db::account::insert_accounts(tx, tenant, &accounts, occasion.now).await?;
    let rows: Vec<IdentityRow> = people.iter().map(|person| with_mapping(&person.identity, published)).collect();
    let identities: Vec<_> = rows.iter().zip(&keys).map(|(row, keys)| (row, Some(keys))).collect();
    db::identity::insert_identities(tx, tenant, &identities).await?;
    let outcomes = reconcile(tx, published, occasion, &mut people, &mut record).await?;
    write_homes(tx, tenant, occasion.now, people.iter().zip(&outcomes)).await?;
    let joining: Vec<Joining> = people.iter().map(|person| Joining::new(&person.account.account, connection.organization)).collect();
    affiliation::join(tx, &published.model, occasion, &joining, &mut record).await?;
    let ids: Vec<_> = rows.iter().map(|row| row.account).collect();
    db::counter::add(tx, tenant, connection.id, db::counter::USERS, &ids, 1).await?;
    record.write(tx, tenant, occasion).await?;
    tx.settle().await?;
    rows.into_iter().map(resource).collect()
}

fn new_user(published: &Published, occasion: &mut Occasion, user: User) -> Person {
    let mut person = stranger(published, occasion);
    take_resource(&mut person, user, 1, occasion);
    person.account.account.status = if person.identity.active { SignInStatus::Active } else { SignInStatus::Blocked };
    person
}

/// What SCIM says of the person from now on.
pub(super) fn take_resource(person: &mut Person, user: User, version: i64, occasion: &Occasion) {
    person.identity.active = user.active();
    person.identity.scim_state = ScimState::Live;
    person.identity.scim = Some(ScimFacts { document: user.attributes, version, created_at: occasion.now, changed_at: occasion.now });
    settle_profile(&mut person.account, &person.identity);
}

/// Somebody of whom the connection said nothing yet, at home at its organization.
pub(super) fn stranger(published: &Published, occasion: &mut Occasion) -> Person {
    let id = occasion.ids.make();
    Person {
        account: AccountRow {
            account: Account {
                id,
                user_name: String::new(),
                email: None,
                display_name: None,
                kind: AccountKind::Human,
                home_organization: Some(published.connection.organization),
                status: SignInStatus::Blocked,
            },
            standing: SignInStatus::Active,
            profile_connection: Some(published.connection.id),
            has_local_credential: false,
            from_file: false,
        },
        identity: IdentityRow {
            connection: published.connection.id,
            account: id,
            subject: None,
            renamed: false,
            active: true,
            scim_state: ScimState::None,
            scim: None,
            saml: None,
            mapping_version: 0,
        },
        held: Vec::new(),
        is_new: true,
        first_sight: true,
        status_before: SignInStatus::Blocked,
        live_before: true,
    }
}
