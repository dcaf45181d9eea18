-- Schema, step 28: what steps report.
alter table step add column report jsonb; -- {properties, links: [{name, url}], trouble: why it was left out}; null: nothing
