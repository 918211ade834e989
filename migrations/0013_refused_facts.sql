-- Whether the response that said the SAML facts was refused: until one is accepted they take away and give nothing.
alter table identity add column saml_refused boolean not null default false;
