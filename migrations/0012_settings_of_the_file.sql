-- The settings that the tenant's file names, as a list: they stay when the tenant follows a newer version of its preset.
alter table tenant add column file_settings text not null default '[]';
