-- The settings that the tenant's file names, as a list: they stay when the tenant follows a newer version of its preset. Null where a version
-- applied the file that did not keep them: it is not known then, and the next `apply` says it.
alter table tenant add column file_settings text;
