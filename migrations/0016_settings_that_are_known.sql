-- The settings that the tenant's file names, as a list: they stay when the tenant follows a newer version of its preset. Null where a version
-- applied the file that did not keep them: it is not known then, and the next `apply` says it. `file_settings` could not tell that from
-- a file that names none; only older nodes look at it.
alter table tenant add column settings_of_file text;
