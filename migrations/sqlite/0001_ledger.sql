-- The ledger. Times are Unix milliseconds unless a name ends in _us (microseconds).
-- Same tables, names and order as postgres/0001_ledger.sql.

create table tenants (
  id integer primary key,
  name text not null unique,
  created_at bigint not null
);
insert into tenants (id, name, created_at) values (1, 'default', 0);

-- Small facts about the ledger itself, such as the key that authenticates attempt ids.
create table facts (
  name text primary key,
  value text not null
);

create table senders (
  id integer primary key,
  tenant_id bigint not null references tenants (id),
  name text not null,
  provider text not null,
  address text not null,               -- at the provider: a phone-number id
  account text not null,               -- limits of one account park all its senders
  app text not null,                   -- limits of one application park all its senders
  portfolio text not null,             -- senders of one business portfolio share a budget
  credentials text not null,           -- sealed where a master key is set
  api_base text not null,
  api_version text not null,
  app_secret text,                     -- sealed; speaks for this sender alone
  rate_per_second bigint,              -- null: unlimited
  state text not null,
  state_reason text,
  receipts_through bigint not null,    -- when the latest attempt began that a receipt vouched for: its slot, or its start
  last_receipt_at bigint,
  templates_synced_at bigint not null default 0, -- when the templates of its account were last asked for
  created_at bigint not null,
  updated_at bigint not null,
  unique (tenant_id, name)
);
create index senders_by_address on senders (provider, address);

-- One row per sender, written at every reservation of slots: apart from senders so that neither waits for the other.
create table pace (
  sender_id bigint primary key references senders (id),
  next_slot_us bigint not null,
  clock_us bigint not null,            -- the clock at the latest reservation: an earlier one tells that it stepped back
  ahead_us bigint not null default 0,  -- how far ahead of the clock slots had been given out before that reservation
  effective_rate_milli bigint,         -- thousandths of a message per second; null: the configured rate
  rate_changed_at bigint not null,
  parked_until bigint not null,
  park_reason text,
  park_streak bigint not null,
  ticketed_until bigint not null,      -- tickets are out for sending up to this time
  last_urgent bigint not null default 0, -- the lane served last of each priority: the next turn is another's
  last_normal bigint not null default 0,
  last_bulk bigint not null default 0
);

create table recipients (
  id integer primary key,
  tenant_id bigint not null references tenants (id),
  phone text not null,                 -- E.164
  name text,
  fields text,                         -- JSON object of texts
  timezone text,                       -- where the person is; else their number's country decides
  consent_at bigint,                   -- since when they agree to marketing
  consent_source text,                 -- where they said so
  unreachable_at bigint,
  last_inbound_at bigint,
  created_at bigint not null,
  unique (tenant_id, phone)
);

-- How many people a business portfolio may write to in a moving day, by the provider's word or an operator's.
create table budgets (
  id integer primary key,
  tenant_id bigint not null references tenants (id),
  portfolio text not null,
  people_per_day bigint,               -- null: no limit
  people bigint not null default 0,    -- whom it reached, as many as rows below; those of more than a day ago go first
  promised_at bigint not null default 0, -- the places of those reached up to then are promised to waiting messages
  unique (tenant_id, portfolio)
);

-- Whom a portfolio with a budget reached, and when last.
create table reached (
  budget_id bigint not null references budgets (id),
  recipient_id bigint not null references recipients (id),
  reached_at bigint not null,
  primary key (budget_id, recipient_id)
);
create index reached_by_time on reached (budget_id, reached_at);

create table blocks (
  recipient_id bigint not null references recipients (id),
  channel text not null,
  reason text not null,
  code bigint,
  source text not null,                -- what made it: an attempt, a receipt, a person
  blocked_at bigint not null,
  primary key (recipient_id, channel)
);

-- What people want to get. Of each part of a channel the newest word counts, by the time at which it was said.
create table wishes (
  recipient_id bigint not null references recipients (id),
  channel text not null,
  covers text not null,                -- all | marketing
  wanted bigint not null,              -- 0: opted out
  source text not null,                -- what said so: a message, a provider, a person
  said_at bigint not null,
  primary key (recipient_id, channel, covers)
) without rowid;

create table groups (
  id integer primary key,
  tenant_id bigint not null references tenants (id),
  name text not null,
  created_at bigint not null,
  unique (tenant_id, name)
);

create table group_members (
  group_id bigint not null references groups (id),
  recipient_id bigint not null references recipients (id),
  added_at bigint not null,
  primary key (group_id, recipient_id)
);

create table templates (
  id integer primary key,
  tenant_id bigint not null references tenants (id),
  account text not null,               -- the business account that it was synced from; empty: added by hand, for all
  name text not null,
  language text not null,
  status text not null,
  definition text not null,            -- the provider's JSON object
  paused_until bigint not null,
  updated_at bigint not null,
  unique (tenant_id, account, name, language)
);

create table jobs (
  id integer primary key,
  tenant_id bigint not null references tenants (id),
  job_key text not null,               -- the producer's own id
  kind text not null,
  name text,
  body text not null,                  -- normalised JSON, without inline recipients; sealed where a master key is set
  body_hash text not null,             -- SHA-256 of the whole normalised job
  sender_id bigint not null references senders (id),
  template_name text,                  -- what its content names, where it is a template: found when that is paused
  template_language text,
  category text,                       -- what its messages are for; written with the first of them
  state text not null,                 -- loading | accepted | planned
  control text not null,               -- running | paused | cancelled
  audience bigint not null,            -- recipients planned so far
  cursor bigint not null,              -- how far planning has come
  held_until bigint not null default 0, -- a paused template holds the broadcast up to this time
  foreseen_end bigint,                 -- when its last message was to leave, by what was known once all were planned
  created_at bigint not null,
  planned_at bigint,
  unique (tenant_id, job_key)
);
create index jobs_to_plan on jobs (audience, id) where state = 'accepted';
create index jobs_by_kind on jobs (tenant_id, kind, id);
create index jobs_foreseen on jobs (id) where foreseen_end is not null;

-- Recipients of a job that lists them, in their order; planning walks through them.
create table audience (
  job_id bigint not null references jobs (id),
  position bigint not null,
  recipient_id bigint not null references recipients (id),
  fields text,                         -- JSON object of the values that the content takes; sealed where a master key is set
  primary key (job_id, position)
) without rowid;

create table messages (
  id integer primary key,
  job_id bigint not null references jobs (id),
  sender_id bigint not null references senders (id),
  recipient_id bigint not null references recipients (id),
  part bigint not null,                -- 0, or the days before the due date of a reminder
  lane bigint not null,                -- priority and broadcast: see the store's lanes
  state text not null,
  reason text,
  due_at bigint not null,              -- not to be acted on before
  expires_at bigint,
  quiet_at bigint,                     -- when its recipient's next quiet hours begin, where it keeps any
  attempts bigint not null,            -- started so far; the number of the current one
  tries bigint not null,               -- spent so far
  pair_throttles bigint not null,
  lease_id bigint,
  slot_us bigint,                      -- of the attempt that is being sent, where its sender has a pace
  created_at bigint not null,
  updated_at bigint not null,
  unique (job_id, recipient_id, part)
);
create index messages_queued on messages (sender_id, lane, due_at, id) where state = 'queued';
create index messages_claimed on messages (lease_id) where state = 'claimed';
create index messages_by_recipient on messages (recipient_id) where state in ('queued', 'claimed');
create unique index messages_sending on messages (sender_id, recipient_id) where state = 'sending';
create index messages_in_doubt on messages (due_at) where state = 'in_doubt';
create index messages_unresolved on messages (id) where state = 'unresolved';
create index messages_expiring on messages (expires_at) where state = 'queued' and expires_at is not null;
create index messages_quiet on messages (quiet_at, due_at, id) where state = 'queued' and quiet_at is not null;

-- Messages that count against a frequency cap, where one was set when they were planned.
create table capped (
  recipient_id bigint not null,
  category text not null,
  due_at bigint not null,              -- when it was to be sent
  message_id bigint not null,
  primary key (recipient_id, category, due_at, message_id)
) without rowid;

-- A recipient's own values for one message, apart from messages, whose rows are rewritten at every step.
create table message_fields (
  message_id integer primary key,
  fields text not null                 -- sealed where a master key is set
);

-- An attempt is written down once something is known of how it went; until then its message says that it is being sent.
-- Names its message without a reference: rows come from statements that have just moved the message, and the server would
-- look at it again for each.
create table attempts (
  message_id bigint not null,
  number bigint not null,
  lease_id bigint not null,
  slot_us bigint,
  started_at bigint not null,
  ended_at bigint,
  outcome text,
  code bigint,
  meaning text,
  evidence text,                       -- why doubt about it ended in sending the message again
  evidence_at bigint,                  -- and when
  provider_message_id text,
  sent_at bigint,
  delivered_at bigint,
  read_at bigint,
  failed_at bigint,
  primary key (message_id, number)
) without rowid;
create index attempts_by_provider_id on attempts (provider_message_id) where provider_message_id is not null;

create table events (
  id integer primary key,
  provider text not null,
  body text not null,                  -- as it came; sealed where a master key is set
  allowed text,                        -- JSON list of the addresses that its signature speaks for; null: all
  state text not null,                 -- new | done | unreadable
  problem text,
  received_at bigint not null,
  processed_at bigint
);
create index events_new on events (id) where state = 'new';

-- Receipts for messages that nobody knows (yet): kept, and looked at again.
create table unmatched_receipts (
  id integer primary key,
  provider_message_id text not null,
  status text not null,
  code bigint,
  sender_address text not null,        -- for whom it spoke; it settles no other's message
  happened_at bigint not null,
  received_at bigint not null,
  unique (provider_message_id, status, sender_address)
);
create index unmatched_by_time on unmatched_receipts (received_at);

create table inbound (
  id integer primary key,
  sender_id bigint,
  recipient_id bigint,
  provider_message_id text not null unique,
  kind text not null,
  body text,                           -- sealed where a master key is set
  happened_at bigint not null,
  received_at bigint not null
);
create index inbound_by_recipient on inbound (recipient_id, happened_at);

create table schedules (
  id integer primary key,
  tenant_id bigint not null references tenants (id),
  cron text not null,
  timezone text not null,
  job text not null,
  missed text not null,                -- what becomes of missed ticks: skip, coalesce, catch_up:N
  next_tick text not null,             -- the local time of the next tick; the key against firing twice
  next_at bigint not null,
  paused_at bigint,                    -- since when a person lets it rest
  created_at bigint not null
);
create index schedules_by_next on schedules (next_at);

create table dead_letters (
  id integer primary key,
  tenant_id bigint not null references tenants (id),
  line text not null,
  job_key text,                        -- the id that it had at the door, where it had one
  body text not null,
  reason text not null,
  created_at bigint not null
);

-- Keys of the HTTP API. A key is shown once; of it the hash alone is kept.
create table api_keys (
  id integer primary key,
  tenant_id bigint not null references tenants (id),
  name text not null,                  -- what the audit log calls it: never used again
  prefix text not null,                -- how the key begins, for people
  hash text not null unique,           -- SHA-256 of the key, in hexadecimal
  scopes text not null,                -- names, separated by spaces
  messages_per_minute bigint,          -- null: no limit
  spent_until_us bigint not null,      -- the messages that it enqueued fill its limit up to this time
  created_at bigint not null,
  expires_at bigint,
  revoked_at bigint,
  last_used_at bigint,
  unique (tenant_id, name)
);

-- Who changed what, written in the transaction of the change. Holds no personal data.
create table audit (
  id integer primary key,
  tenant_id bigint not null references tenants (id),
  happened_at bigint not null,
  actor text not null,                 -- key:NAME or cli:ACCOUNT
  action text not null,                -- such as broadcast.pause
  subject text not null                -- what it was done to, by its id or name
);
create index audit_by_tenant on audit (tenant_id, id);

create table leases (
  id bigint primary key,
  process text not null,
  workers text not null,
  started_at bigint not null,
  expires_at bigint not null
);

-- The queue, where it lives in the ledger.
create table line_items (
  id integer primary key,
  line text not null,
  body text not null,
  available_at bigint not null
);
create index line_items_by_line on line_items (line, available_at, id);
