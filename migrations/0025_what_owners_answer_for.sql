-- The entries of `managed_roles` that an owner wrote. Nobody recorded who wrote those of custom roles: an owner writes them again.
alter table role add column owner_named text not null default '[]';
update role set owner_named = substr(managed_roles, 9, length(managed_roles) - 9)
    where system and managed_roles like '{"only":%';

-- The owner who answers for an application's token: who made it, or took it over. null: the operator of the host.
alter table app_token add column owner keytext;
update app_token set owner = created_by;
